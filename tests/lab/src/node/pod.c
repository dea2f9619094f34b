// What a Pod of the lab runs. Without arguments it waits to be stopped. With a port it answers each HTTP request there.
// With a host and a port it connects, says so and ends.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void stop(int signal) {
  (void)signal;
  _exit(0);
}

static int reach(const char *host, const char *port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo(host, port, &hints, &found);
  if (error != 0) {
    printf("%s is not resolved: %s\n", host, gai_strerror(error));
    return 1;
  }
  int connection = socket(found->ai_family, found->ai_socktype, 0);
  if (connect(connection, found->ai_addr, found->ai_addrlen) != 0) {
    perror("no connection");
    return 1;
  }
  char address[64];
  getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
  printf("%s is reached at %s\n", host, address);
  return 0;
}

static int serve(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("no listener");
    return 1;
  }
  for (;;) {
    char request[4096];
    int connection = accept(listener, NULL, NULL);
    // One that only connects sends nothing.
    if (connection >= 0 && read(connection, request, sizeof request) > 0) {
      dprintf(connection, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
    }
    close(connection);
  }
}

int main(int count, char **arguments) {
  // The first process of a PID namespace gets no signal that it does not handle.
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  if (count == 2) {
    return serve(atoi(arguments[1]));
  }
  if (count == 3) {
    return reach(arguments[1], arguments[2]);
  }
  printf("waiting\n");
  fflush(stdout);
  for (;;) {
    pause();
  }
}
