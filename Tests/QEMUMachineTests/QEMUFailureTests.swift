import DMA
import DMAMapping
import Glibc
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  @Suite(.needsQEMU)
  struct QEMUFailureTests {
    @Test func `a QEMU that is killed is a typed error within a second`() throws {
      let bench = try EduBench()
      kill(bench.machine.processIdentifier, SIGKILL)
      var read: UInt32 = 0
      let time = milliseconds { read = bench.registers.read(at: 0) }
      #expect(time < 1000)
      #expect(read == .max)
      #expect(bench.machine.failure == .died(exit: .signal(9), message: ""))
      #expect(bench.device.vendorID == 0xffff)
      bench.registers.write(1 as UInt32, at: 4)
      #expect(bench.machine.failure == .died(exit: .signal(9), message: ""))
    }

    @Test func `a QEMU that died is noticed without asking it`() throws {
      let machine = try QEMUMachine()
      kill(machine.processIdentifier, SIGKILL)
      var failure: QEMUError?
      let time = milliseconds {
        while failure == nil { failure = machine.failure }
      }
      #expect(time < 1000)
      #expect(failure == .died(exit: .signal(9), message: ""))
    }

    @Test func `a device model that aborts QEMU is reported in QEMU's own words`() throws {
      let bench = try EduBench()
      bench.device.enableBusMastering()
      // Outside of the device's buffer: edu calls this a hardware error.
      bench.registers.write(0x40000 as UInt64, at: 0x80)
      bench.registers.write(0x100000 as UInt64, at: 0x88)
      bench.registers.write(8192 as UInt64, at: 0x90)
      bench.registers.write(3 as UInt64, at: 0x98)
      #expect(throws: DMAError.timedOut) {
        try bench.machine.platform.wait(nanoseconds: 1_000_000_000) {
          bench.registers.read(UInt64.self, at: 0x98) & 1 == 0
        }
      }
      guard case .died(.signal(let signal), let message) = bench.machine.failure else {
        Issue.record("\(String(describing: bench.machine.failure))")
        return
      }
      #expect(signal == Int(SIGABRT))
      #expect(message.contains("EDU"))
    }

    @Test func `a process that ignores SIGCHLD still learns that QEMU died`() async {
      await #expect(processExitsWith: .success) {
        signal(SIGCHLD, SIG_IGN)
        let machine = try QEMUMachine()
        kill(machine.processIdentifier, SIGKILL)
        let time = milliseconds { while machine.failure == nil { usleep(1000) } }
        #expect(time < 1000)
        #expect(machine.failure == .died(exit: .unknown, message: ""))
      }
    }

    @Test func `a QEMU that hangs is killed and reported`() throws {
      let bench = try EduBench { $0.replyTimeoutMilliseconds = 300 }
      kill(bench.machine.processIdentifier, SIGSTOP)
      let time = milliseconds {
        #expect(bench.registers.read(UInt32.self, at: 0) == .max)
      }
      #expect(time < 1500)
      #expect(
        bench.machine.failure
          == .noReply(
            command: "readl 0x\(String(bar(bench), radix: 16))", milliseconds: 300))
      #expect(processes(named: bench.machine.name).isEmpty)
    }

    /// The address of the device's registers; not asked of the device.
    private func bar(_ bench: borrowing EduBench) -> UInt64 { 0xe000_0000 }

    @Test func `an argument QEMU refuses is reported in QEMU's own words`() {
      var configuration = QEMUMachine.Configuration(devices: [.other("no-such-device")])
      guard case .startFailed(let message, let exit) = startFailure(configuration) else {
        Issue.record("it started")
        return
      }
      #expect(message.contains("no-such-device"))
      #expect(exit == .code(1))
      configuration.devices = [.nvme(image: "/nonexistent/image,with comma", isReadOnly: true)]
      guard case .startFailed(let message, _) = startFailure(configuration) else {
        Issue.record("it started")
        return
      }
      #expect(message.contains("/nonexistent/image,with comma"))
    }
  }
}

extension QEMUMachineTests {
  /// Needs no QEMU: programs that are none.
}

extension QEMUMachineTests {
  @Suite
  struct QEMUImpostorTests {
    @Test func `a missing QEMU names its package`() {
      var configuration = QEMUMachine.Configuration()
      configuration.searchPath = "/nonexistent:/proc"
      let error = startFailure(configuration)
      #expect(
        error == .notInstalled(executable: "qemu-system-x86_64", package: "qemu-system-x86"))
      #expect(error?.description.contains("qemu-system-x86") == true)
      configuration.executable = "/nonexistent/qemu"
      #expect(
        startFailure(configuration)
          == .notInstalled(executable: "/nonexistent/qemu", package: "qemu-system-x86"))
      // A folder is no program.
      configuration.executable = "/proc/self"
      #expect(
        startFailure(configuration)
          == .notInstalled(executable: "/proc/self", package: "qemu-system-x86"))
    }

    @Test func `machines that cannot be are refused before anything starts`() {
      var configuration = QEMUMachine.Configuration()
      for memory in [0, 1 << 20, 33 << 20 + 1, .max] as [UInt64] {
        configuration.memoryByteCount = memory
        guard case .invalidConfiguration = startFailure(configuration) else {
          Issue.record("\(memory) bytes of RAM were accepted")
          return
        }
      }
      configuration = QEMUMachine.Configuration(
        devices: [QEMUMachine.Device](repeating: .edu(), count: 30))
      guard case .invalidConfiguration = startFailure(configuration) else {
        Issue.record("30 devices were accepted")
        return
      }
    }

    @Test func `a program that ends at once is a failed start with its own words`() {
      let error = impostorFailure("echo what went wrong >&2; exit 3")
      #expect(error == .startFailed(message: "what went wrong", exit: .code(3)))
    }

    @Test(arguments: [
      "no", "FAIL Unknown command", "OK", "OK 0x", "OK 0x12345678901234567", "OK 0xgg", "OK 12",
      "", "OK 0x0", "OK  0x29c08086",
    ])
    func `an answer that is none is a protocol error, at once`(_ reply: String) {
      let script = "read a <&3; read b <&3; echo OK >&3; echo '\(reply)' >&3; read c <&3"
      var error: QEMUError?
      let time = milliseconds { error = impostorFailure(script) }
      #expect(time < 1500)
      guard case .protocolViolation = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }

    @Test func `an answer without an end is a protocol error within a second`() {
      for text in ["OK 0x29c08086", String(repeating: "x", count: 5000)] {
        let script = "read a <&3; read b <&3; echo OK >&3; printf %s '\(text)' >&3; read c <&3"
        var error: QEMUError?
        let time = milliseconds { error = impostorFailure(script) }
        #expect(time < 1500)
        guard case .protocolViolation = error else {
          Issue.record("\(String(describing: error))")
          return
        }
      }
    }

    @Test func `an answer may come late and in pieces`() {
      let script = """
        read a <&3; read b <&3; echo OK >&3; sleep 0.6; printf 'OK 0x29c0' >&3; sleep 0.2
        echo 8086 >&3; read c <&3; exit 5
        """
      #expect(impostorFailure(script) == .died(exit: .code(5), message: ""))
    }

    @Test func `a program that says nothing is a failed start`() {
      var error: QEMUError?
      let time = milliseconds { error = impostorFailure("exec sleep 100", startTimeout: 200) }
      #expect(time < 2500)
      guard case .startFailed(let message, let exit) = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(message.contains("200 ms"))
      #expect(exit == .signal(9))
    }
  }
}
