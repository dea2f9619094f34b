# The first process of a node's namespaces: it gives the node its cgroups, mounts and address, and then waits.
# What it mounts is seen in its mount namespace only, and everything in its PID namespace dies with it.
set -eu
dir=$1 group=$2

# Step 1, in this machine's cgroup namespace: joins the node's group, which is there already.
if [ "${3:-}" != inside ]; then
  while read -r mount _; do echo $$ >"$mount/$group/cgroup.procs"; done <"$dir/cgroups"
  exec unshare --cgroup sh "$0" "$dir" "$group" inside
fi

# Step 2: the node's group is the root of all groups that it sees.
while read -r mount kind options; do
  umount "$mount" 2>/dev/null || true
  if [ "$kind" = cgroup2 ]; then
    mount -t cgroup2 cgroup2 "$mount"
    # A group whose controllers are passed on has no processes of its own.
    mkdir -p "$mount/init"
    echo $$ >"$mount/init/cgroup.procs"
    for controller in $(cat "$mount/cgroup.controllers"); do echo "+$controller" >"$mount/cgroup.subtree_control"; done
  else
    mount -t cgroup -o "$options" cgroup "$mount"
  fi
done <"$dir/cgroups"

# All that the node writes is in memory, and gone with the namespace.
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
mkdir -p /run/lock /var/lib/kubelet /var/lib/containerd
mount --bind "$dir/hosts" /etc/hosts
# A link leads into /run, where nothing is left of it.
[ -L /etc/resolv.conf ] || [ ! -f /etc/resolv.conf ] || mount --bind "$dir/resolv.conf" /etc/resolv.conf

# The kubelet sets these for the whole machine. It sets a copy.
mkdir "$dir/sysctl"
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
  kernel/keys/root_maxbytes; do
  copy=$dir/sysctl/$(echo "$setting" | tr / -)
  cat "/proc/sys/$setting" >"$copy"
  mount --bind "$copy" "/proc/sys/$setting"
done

# The other end of the pair is made once this process is known.
until [ -e "$dir/network" ]; do sleep 0.02; done
read -r address route <"$dir/network"
ip link set lo up
ip link set eth0 up
ip address add "$address" dev eth0
ip route add default via "$route"
echo 1 >/proc/sys/net/ipv4/ip_forward
: >"$dir/ready"
# A shell that waits also takes the exit status of orphans.
while :; do sleep 3600; done
