import Glibc
import TestSupport
import Testing

@testable import DMATrace

/// An empty folder that nobody else has.
private func newFolder() throws -> String {
  let made = try #require(runProgram(["mktemp", "-d"]))
  try #require(made.status == 0, "\(made.output)")
  return String(made.output.dropLast())
}

/// A folder that looks like `/sys` of a machine with one PCI device, and small tools that do what
/// tracefs does when an instance is made or removed.
private struct FakeSystem {
  let root: String

  init() throws {
    root = try newFolder()
    let made = try #require(
      runProgram([
        "sh", "-c",
        """
        set -e; cd "$1"
        T=sys/kernel/tracing; D=sys/bus/pci
        mkdir -p $T/events/dma $T/instances template/events/dma template/options \
          template/per_cpu/cpu0 tools $D/devices/0000:00:01.0 $D/drivers/e1000
        echo 32 > $D/devices/0000:00:01.0/dma_mask_bits
        echo 32 > $D/devices/0000:00:01.0/consistent_dma_mask_bits
        ln -s ../../drivers/e1000 $D/devices/0000:00:01.0/driver
        ln -s ../../devices/0000:00:01.0 $D/drivers/e1000/0000:00:01.0
        for f in tracing_on buffer_size_kb trace_clock events/dma/enable events/dma/filter \
          options/stacktrace trace_marker per_cpu/cpu0/stats; do echo 1 > template/$f; done
        echo 'x-1 [000] ..... 1.000000: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=1 size=2 phys_addr=1 attrs=' > template/trace_pipe
        cat > tools/mkdir <<'END'
        #!/bin/sh
        for last; do :; done
        case $last in */instances/*) exec cp -r ROOT/template "$last";; esac
        exec /bin/mkdir "$@"
        END
        cat > tools/rmdir <<'END'
        #!/bin/sh
        cp -r "$1" ROOT/removed && exec rm -r "$1"
        END
        sed -i "s|ROOT|$PWD|" tools/*; chmod +x tools/*
        """, "sh", root,
      ]))
    try #require(made.status == 0, "\(made.output)")
  }

  /// Runs a recording, or what `shell` makes of it ("$SCRIPT" is its file).
  func record(
    _ change: (inout RecordPlan) -> Void, shell: String = "sh \"$SCRIPT\""
  ) throws -> SubprocessResult {
    var plan = RecordPlan(output: root + "/out")
    change(&plan)
    let script = root + "/record.sh"
    guard let file = unsafe fopen(script, "w") else { throw RecordError.cannotWrite(script) }
    unsafe fputs(RecordScript.text(plan), file)
    unsafe fclose(file)
    return try #require(
      runProgram([
        "env", "DMATOOL_SYS=\(root)/sys", "SCRIPT=\(script)",
        "PATH=\(root)/tools:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", shell,
      ]))
  }

  func text(_ path: String) -> String { (try? SharedTraces.text("\(root)/\(path)")) ?? "" }

  /// Names in a folder.
  func list(_ path: String) -> String {
    runProgram(["sh", "-c", "ls \"$1\"", "sh", "\(root)/\(path)"])?.output ?? ""
  }

  func remove() { _ = runProgram(["rm", "-r", root]) }
}

private enum RecordError: Error {
  case cannotWrite(String)
}

struct RecordTests {
  private static let bind = "sys/bus/pci/drivers/e1000/bind"

  @Test func `a whole life is recorded, and everything restored`() throws {
    let system = try FakeSystem()
    defer { system.remove() }
    let result = try system.record {
      $0.driver = "e1000"
      $0.rebinds = true
      $0.stacks = true
      $0.bufferKilobytes = 512
      $0.command = ["sh", "-c", "echo it\\'s running; exit 7"]
    }
    #expect(result.status == 7, "\(result.output)")
    #expect(result.output.contains("it's running"))
    #expect(result.output.contains(": 1 events"))
    #expect(system.text("out/trace.txt").contains("dma_map_page"))
    #expect(system.text("out/facts.txt").contains("driver=e1000 dma_mask_bits=32"))
    #expect(system.text("out/stats.txt").contains("cpu0"))
    // What stood in the instance when it went.
    #expect(system.text("removed/buffer_size_kb") == "512\n")
    #expect(system.text("removed/trace_clock") == "mono\n")
    #expect(system.text("removed/events/dma/filter") == "device == \"0000:00:01.0\"\n")
    #expect(system.text("removed/options/stacktrace") == "1\n")
    #expect(system.text("removed/tracing_on") == "0\n")
    #expect(system.list("sys/kernel/tracing/instances") == "")
    #expect(system.text(Self.bind) == "0000:00:01.0\n")
  }

  @Test(arguments: [("TERM", 143), ("INT", 130), ("KILL", 137)])
  func `a recording that is ended by a signal leaves nothing behind`(
    _ signal: String, _ status: Int32
  ) throws {
    let system = try FakeSystem()
    defer { system.remove() }
    let result = try system.record(
      {
        $0.driver = "e1000"
        $0.rebinds = true
        // Off the driver, and still so when the signal comes.
        $0.command = [
          "sh", "-c", "rm \"$1\"; touch \"$2\"; exec sleep 30", "sh",
          "\(system.root)/\(Self.bind)", "\(system.root)/runs",
        ]
      },
      // A shell without job control ignores SIGINT in what it starts in the background.
      shell: """
        python3 -c 'import os,signal,sys,time
        root = os.path.dirname(os.environ["SCRIPT"])
        child = os.fork()
        if child == 0: os.execvp("sh", ["sh", os.environ["SCRIPT"]])
        while not os.path.exists(root + "/runs"): time.sleep(0.05)
        with open(root + "/pid", "w") as file: file.write(str(child))
        os.kill(child, getattr(signal, "SIG\(signal)"))
        _, status = os.waitpid(child, 0)
        for _ in range(100):
          if not os.listdir(root + "/sys/kernel/tracing/instances"): break
          time.sleep(0.05)
        sys.exit(os.waitstatus_to_exitcode(status) % 256 if not os.WIFSIGNALED(status) else 137)'
        """)
    #expect(result.status == status, "\(result.output)")
    #expect(system.list("sys/kernel/tracing/instances") == "")
    #expect(system.text("removed/tracing_on") == "0\n")
    // Bound while recording; when it ends, it is bound still.
    #expect(system.list("sys/bus/pci/drivers/e1000").contains("0000:00:01.0"))
  }

  @Test func `it says plainly why it cannot`() throws {
    let system = try FakeSystem()
    defer { system.remove() }
    let missing = try system.record { $0.driver = "nvme" }
    #expect(missing.status == 2)
    #expect(missing.output.contains("there is no PCI driver nvme"))
    let aimless = try system.record { $0.rebinds = true }
    #expect(aimless.output.contains("--rebind needs --driver or --device"))
    _ = runProgram(["rm", "-r", "\(system.root)/sys/kernel/tracing/events/dma"])
    let old = try system.record { _ in }
    #expect(old.status == 2)
    #expect(old.output.contains("older than 6.12"))
    _ = runProgram(["rm", "-r", "\(system.root)/sys/kernel/tracing"])
    let none = try system.record { _ in }
    #expect(none.status == 2)
    #expect(none.output.contains("no tracefs"))
    _ = runProgram(["mkdir", "\(system.root)/sys/kernel/security"])
    _ = runProgram([
      "sh", "-c", "echo 'none [integrity] confidentiality' > \"$1\"", "sh",
      "\(system.root)/sys/kernel/security/lockdown",
    ])
    let locked = try system.record { _ in }
    #expect(locked.output.contains("locked down"))
  }

  /// The machine's own tracefs, where this is root and the kernel has the events.
  @Test func `this machine is recorded where that is allowed`() throws {
    let folder = try newFolder()
    defer { _ = runProgram(["rm", "-r", folder]) }
    var plan = RecordPlan(output: folder)
    plan.command = ["sh", "-c", "ls -d /sys/kernel/tracing/instances/dmatool.* | wc -l"]
    plan.bufferKilobytes = 256
    let result = try #require(runProgram(["sh", "-c", RecordScript.text(plan)]))
    guard result.status == 0 else {
      #expect(result.status == 2 && result.output.contains("dmatool record: "))
      print("skipped: recording on this machine: \(result.output)")
      return
    }
    #expect(result.output.contains("1\n"))
    let left = runProgram(["sh", "-c", "ls -d /sys/kernel/tracing/instances/dmatool.* 2>&1"])
    #expect(left?.status != 0, "\(left?.output ?? "")")
  }
}
