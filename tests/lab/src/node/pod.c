// What a Pod of the lab runs. Without arguments it waits to be stopped. With a host and a port it connects, says so
// and ends.
#include <netdb.h>
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

int main(int count, char **arguments) {
  // The first process of a PID namespace gets no signal that it does not handle.
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  if (count == 3) {
    return reach(arguments[1], arguments[2]);
  }
  printf("waiting\n");
  fflush(stdout);
  for (;;) {
    pause();
  }
}
