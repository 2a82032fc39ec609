# SIGKILL at random points of a driver's life: the kernel takes everything back.
# Settings: KILLS (default 50), SEED
set -u
. /tests/lib.sh
KILLS=${KILLS:-50}
SEED=${SEED:-1}

insmod /modules/nvme.ko
bind_vfio "$NVME"
dmesg -c > /dev/null
echo "seed: $SEED"

run() {
  dmatool nvme bench --machine "vfio:$NVME" --mapping "$1" --count 100000000 --memory 16M \
    > /tmp/out 2>&1 &
}
# look TIMES: looks at the pinned pages so often, or until some are; the time of a life is counted in
# looks, since the clock of an emulated guest may jump.
look() {
  looks=0
  while [ $looks -lt "$1" ] && { [ -n "${2:-}" ] || [ "$(pinned)" = 0 ]; }; do
    [ -z "${2:-}" ] || pinned > /dev/null
    looks=$((looks + 1))
  done
}
run percall
look 2000
kill -9 $!
wait $! 2>/dev/null
# From the start of the program to work in full swing.
life=$((looks * 3 + 3))
echo "info: memory is pinned after $looks looks; kills within $life"
wrong=0
busy=0
i=0
while [ $i -lt "$KILLS" ]; do
  mode=$([ $((i % 2)) = 0 ] && echo percall || echo arena)
  run $mode
  program=$!
  SEED=$(((SEED * 1103515245 + 12345) % 2147483648))
  look $((SEED / 2048 % life)) random
  [ "$(pinned)" = 0 ] || busy=$((busy + 1))
  kill -9 $program
  wait $program 2>/dev/null
  # The last references go with the process; the kernel may take a moment.
  tries=0
  while [ "$(pinned)" != 0 ] && [ $tries -lt 50 ]; do usleep 20000; tries=$((tries + 1)); done
  if [ "$(pinned)" != 0 ]; then
    echo "FAIL: kill $i ($mode): $(pinned) pages are still pinned"
    wrong=$((wrong + 1))
  fi
  i=$((i + 1))
  [ $((i % 50)) != 0 ] || echo "info: $i kills, $busy with memory pinned, $wrong wrong"
done
check "$KILLS kills: no page stays pinned" test $wrong = 0
echo "count: $KILLS kills, $busy of them with memory pinned"
check "many came while memory was pinned" test $busy -ge $((KILLS / 4))
check "the next start works" sh -c "dmatool nvme identify --machine vfio:$NVME > /tmp/out 2>&1"
contains "and finds the disk" /tmp/out "namespace"
check "no fault line" test "$(faults)" = 0
finish
