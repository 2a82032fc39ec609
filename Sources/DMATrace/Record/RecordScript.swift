/// What is to be recorded.
public struct RecordPlan: Sendable {
  /// Only events of this device (a PCI address).
  public var device: String?
  /// Only devices of this driver.
  public var driver: String?
  /// Take the driver off before recording and put it on while recording, and off again at the end:
  /// the trace then holds a whole life, and leaks can be told from what is still in use.
  public var rebinds = false
  /// Record who made each call.
  public var stacks = false
  /// The directory that takes the files.
  public var output: String
  /// The command during which to record; without one until interrupted.
  public var command: [String] = []
  /// Kilobytes of ring buffer for each CPU.
  public var bufferKilobytes = 16384

  public init(output: String) { self.output = output }
}

/// A plain shell script that records a trace, and restores everything, also when it is killed.
///
/// It works in an instance of its own, so it disturbs no other tracing. It needs nothing but a
/// shell, the usual small tools and root, so it runs where this program was never installed.
public enum RecordScript {
  /// A word as the shell takes it, whatever is in it.
  static func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
      + "'"
  }

  /// The script for a plan.
  public static func text(_ plan: RecordPlan) -> String {
    """
    #!/bin/sh
    # Records the DMA events of a Linux kernel (6.12 or newer); made by `dmatool record`.
    # Check the result with: dmatool check --limits OUT/facts.txt OUT/trace.txt
    OUT=\(quoted(plan.output))
    DEVICE=\(quoted(plan.device ?? ""))
    DRIVER=\(quoted(plan.driver ?? ""))
    REBIND=\(plan.rebinds ? 1 : 0)
    STACKS=\(plan.stacks ? 1 : 0)
    BUFFER_KB=\(plan.bufferKilobytes)
    set -- \(plan.command.map(quoted).joined(separator: " "))

    """ + body
  }

  private static let body = #"""
    fail() { STATUS=2; echo "dmatool record: $*" >&2; exit 2; }

    # Another tree than the machine's own is for tests.
    SYS=${DMATOOL_SYS:-/sys}
    [ "$SYS" != /sys ] || [ "$(id -u)" = 0 ] || fail "not root: tracing needs root (try sudo)"
    T=$SYS/kernel/tracing
    MOUNTED=
    if [ ! -d "$T/events" ] && [ -d "$SYS/kernel/debug/tracing/events" ]; then
      T=$SYS/kernel/debug/tracing
    fi
    if [ ! -d "$T/events" ] && mount -t tracefs nodev "$T" 2>/dev/null; then MOUNTED=$T; fi
    if [ ! -d "$T/events" ]; then
      if grep -q '\[\(integrity\|confidentiality\)\]' "$SYS/kernel/security/lockdown" 2>/dev/null; then
        fail "no tracefs: the kernel is locked down ($(cat $SYS/kernel/security/lockdown))"
      fi
      fail "no tracefs: the kernel was built without tracing, or a container hides it"
    fi
    [ -d "$T/events/dma" ] ||
      fail "the kernel $(uname -r) has no dma events: it is older than 6.12"
    if [ -n "$DEVICE" ] && [ -z "$DRIVER" ] && [ -e "$SYS/bus/pci/devices/$DEVICE/driver" ]; then
      DRIVER=$(basename "$(readlink "$SYS/bus/pci/devices/$DEVICE/driver")")
    fi
    if [ -n "$DEVICE" ]; then
      DEVICES=$DEVICE
      [ -d "$SYS/bus/pci/devices/$DEVICE" ] || fail "there is no PCI device $DEVICE"
    elif [ -n "$DRIVER" ]; then
      [ -d "$SYS/bus/pci/drivers/$DRIVER" ] || fail "there is no PCI driver $DRIVER (loaded?)"
      DEVICES=$(cd "$SYS/bus/pci/drivers/$DRIVER" && ls -d [0-9a-f]*:*:*.* 2>/dev/null)
    else
      DEVICES=
    fi
    [ "$REBIND" = 0 ] || [ -n "$DEVICES" ] || fail "--rebind needs --driver or --device"
    [ "$REBIND" = 0 ] || [ -n "$DRIVER" ] || fail "$DEVICE has no driver to rebind"

    # Recordings that were killed together with what tidies up after them. The instance's name says
    # whose it is and whether it mounted tracefs.
    for old in "$T"/instances/dmatool.*; do
      [ -d "$old" ] || continue
      number=${old##*/dmatool.}
      [ ! -d "/proc/${number%.mounted}" ] || continue
      echo 0 > "$old/tracing_on"
      for p in /proc/[0-9]*; do
        grep -q "dmatool.$number/trace_pipe" "$p/cmdline" 2>/dev/null && kill "${p#/proc/}"
      done
      n=0
      until rmdir "$old" 2>/dev/null || [ $n -ge 20 ]; do sleep 0.1; n=$((n + 1)); done
      echo "dmatool record: removed what recording ${number%.mounted} left" >&2
      [ "$number" = "${number%.mounted}" ] || MOUNTED=$T
    done

    mkdir -p "$OUT" || fail "cannot make $OUT"
    : > "$OUT/trace.txt" || fail "cannot write to $OUT"
    I="$T/instances/dmatool.$$${MOUNTED:+.mounted}"
    mkdir "$I" || fail "cannot make a tracing instance: locked down, or out of memory"
    READER=
    UNBOUND=
    CHILD=

    # When this shell is killed without a chance to tidy up (SIGKILL), this one does. It is in a
    # session of its own, so that it outlives a kill of the whole group.
    WATCH='
      trap "" INT TERM HUP
      while [ -d /proc/$RECORDER ] && ! grep -q "^State:.Z" /proc/$RECORDER/status; do sleep 0.3; done
      [ -d "$I" ] || exit 0
      echo 0 > "$I/tracing_on"
      for p in /proc/[0-9]*; do
        grep -q "${I##*/}/trace_pipe" "$p/cmdline" && kill "${p#/proc/}"
      done
      for d in $DEVICES; do
        [ "$REBIND" = 0 ] || [ -e "$SYS/bus/pci/devices/$d/driver" ] ||
          echo "$d" > "$SYS/bus/pci/drivers/$DRIVER/bind"
      done
      n=0
      until rmdir "$I" || [ $n -ge 50 ]; do sleep 0.1; n=$((n + 1)); done
      n=0
      until [ -z "$MOUNTED" ] || umount "$MOUNTED" || [ $n -ge 50 ]; do
        sleep 0.1
        n=$((n + 1))
      done
    '
    RECORDER=$$ I=$I DEVICES=$DEVICES DRIVER=$DRIVER REBIND=$REBIND SYS=$SYS MOUNTED=$MOUNTED \
      $(command -v setsid) sh -c "$WATCH" dmatool-watch < /dev/null > /dev/null 2>&1 &

    facts() {
      uname -a
      for d in "$SYS"/bus/pci/devices/*; do
        [ -e "$d/dma_mask_bits" ] || continue
        driver=none; group=none
        [ -e "$d/driver" ] && driver=$(basename "$(readlink "$d/driver")")
        [ -e "$d/iommu_group" ] && group=$(basename "$(readlink "$d/iommu_group")")
        echo "$(basename "$d") driver=$driver dma_mask_bits=$(cat "$d/dma_mask_bits")" \
          "consistent_dma_mask_bits=$(cat "$d/consistent_dma_mask_bits") iommu_group=$group"
      done
      cat /proc/iomem
      for p in "$SYS"/bus/pci/devices/*/pools; do
        [ -e "$p" ] && { echo "# pools $p"; cat "$p"; }
      done
      for s in "$SYS"/kernel/debug/swiotlb/*; do
        [ -e "$s" ] && echo "# $s $(cat "$s")"
      done
    }

    bind() {  # puts the driver back on what was taken off, or was about to be
      for d in $UNBOUND; do echo "$d" > "$SYS/bus/pci/drivers/$DRIVER/bind"; done 2>/dev/null
      UNBOUND=
    }

    finish() {
      trap '' INT TERM HUP
      trap - EXIT
      if [ -n "$CHILD" ]; then
        kill "$CHILD" 2>/dev/null
        n=0
        while kill -0 "$CHILD" 2>/dev/null && [ $n -lt 20 ]; do sleep 0.1; n=$((n + 1)); done
        kill -9 "$CHILD" 2>/dev/null
        wait "$CHILD" 2>/dev/null
      fi
      # The reader ends only after it has read something.
      echo "dmatool: end" > "$I/trace_marker"
      echo 0 > "$I/tracing_on"
      if [ -n "$READER" ]; then
        # The reader ends by itself once the buffer is empty.
        n=0
        while kill -0 "$READER" 2>/dev/null && [ $n -lt 20 ]; do sleep 0.2; n=$((n + 1)); done
        kill "$READER" 2>/dev/null
        wait "$READER" 2>/dev/null
      fi
      for c in "$I"/per_cpu/cpu*; do
        echo "== $(basename "$c")"; cat "$c/stats"
      done > "$OUT/stats.txt"
      bind
      facts > "$OUT/facts.txt" 2>/dev/null
      dmesg > "$OUT/dmesg.txt" 2>/dev/null
      rmdir "$I" || echo "dmatool record: could not remove $I" >&2
      [ -z "$MOUNTED" ] || umount "$MOUNTED"
      echo "recorded into $OUT: $(grep -c ': dma_' "$OUT/trace.txt") events" >&2
      grep -q 'LOST' "$OUT/trace.txt" &&
        echo "some events were lost: record again with a larger buffer" >&2
      exit "${STATUS:-0}"
    }
    trap finish EXIT
    trap 'STATUS=130; exit 130' INT HUP
    trap 'STATUS=143; exit 143' TERM

    echo "$BUFFER_KB" > "$I/buffer_size_kb"
    # A clock all CPUs share, so that the order of the lines is the order of things.
    echo mono > "$I/trace_clock"
    if [ -n "$DEVICES" ]; then
      filter=; dev_filter=
      for d in $DEVICES; do
        filter="${filter:+$filter || }device == \"$d\""
        dev_filter="${dev_filter:+$dev_filter || }dev_name == \"$d\""
      done
      echo "$filter" > "$I/events/dma/filter"
      [ -e "$I/events/swiotlb/swiotlb_bounced/filter" ] &&
        echo "$dev_filter" > "$I/events/swiotlb/swiotlb_bounced/filter"
    fi
    for e in dma swiotlb/swiotlb_bounced iommu/add_device_to_group \
      iommu/remove_device_from_group iommu/io_page_fault; do
      [ -e "$I/events/$e/enable" ] && echo 1 > "$I/events/$e/enable"
    done
    [ "$STACKS" = 1 ] && echo 1 > "$I/options/stacktrace"

    if [ "$REBIND" = 1 ]; then
      for d in $DEVICES; do
        # Noted before: a signal is acted upon as soon as the kernel has taken the driver off.
        UNBOUND="$UNBOUND $d"
        echo "$d" > "$SYS/bus/pci/drivers/$DRIVER/unbind" || fail "cannot unbind $d"
      done
      # What was released just now began before the recording.
      echo > "$I/trace"
    fi
    cat "$I/trace_pipe" > "$OUT/trace.txt" &
    READER=$!
    if [ "$REBIND" = 1 ]; then
      for d in $UNBOUND; do
        echo "dmatool: bind $DRIVER $d" > "$I/trace_marker"
        echo "$d" > "$SYS/bus/pci/drivers/$DRIVER/bind" || fail "cannot bind $d"
      done
      UNBOUND=
    fi
    STATUS=0
    if [ $# -gt 0 ]; then
      # In the background, so that a signal is acted upon at once and not when the command is done.
      exec 3<&0
      "$@" <&3 3<&- &
      CHILD=$!
      exec 3<&-
      wait "$CHILD"
      STATUS=$?
      CHILD=
    else
      echo "recording; stop with Ctrl-C" >&2
      while :; do sleep 1 & wait $!; done
    fi
    if [ "$REBIND" = 1 ]; then
      for d in $DEVICES; do
        echo "dmatool: unbind $DRIVER $d" > "$I/trace_marker"
        UNBOUND="$UNBOUND $d"
        echo "$d" > "$SYS/bus/pci/drivers/$DRIVER/unbind"
      done
    fi
    exit "$STATUS"

    """#
}
