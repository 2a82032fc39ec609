import DMA
import Glibc
import PCI
import QEMUMachine
import TestSupport
import Testing

extension QEMUMachineTests {
  @Suite(.needsQEMU)
  struct QEMUOrphanTests {
    @Test func `killing the process at any point leaves no QEMU`() async throws {
      var random = SeededGenerator()
      for _ in 0..<20 {
        let delay = UInt32.random(in: 0...700_000, using: &random)
        await #expect(processExitsWith: .signal(SIGKILL)) { [delay = delay as UInt32] in
          killThisProcess(afterMicroseconds: delay)
          while true {
            let machine = try QEMUMachine(QEMUMachine.Configuration(devices: [.edu()]))
            _ = machine.pci.scan()
            machine.stop()
          }
        }
        #expect(try orphans(after: 2).isEmpty, "killed after \(delay) us")
        for place in ["/tmp", "/var/tmp", "/dev/shm"] {
          let left = folder(place).filter { name in
            ["swift-dma", "machine-ram", "parked-firmware", "vl."].contains { name.hasPrefix($0) }
          }
          #expect(left.isEmpty, "killed after \(delay) us")
        }
      }
    }

    @Test func `QEMU outlives the thread that started it`() throws {
      let box = MachineBox()
      var thread = pthread_t()
      let context = unsafe Unmanaged.passRetained(box).toOpaque()
      let status = unsafe pthread_create(
        &thread, nil,
        { context in
          guard let context = unsafe context else { return nil }
          let box = unsafe Unmanaged<MachineBox>.fromOpaque(context).takeRetainedValue()
          box.machine = try? QEMUMachine(QEMUMachine.Configuration(devices: [.edu()]))
          return nil
        }, context)
      try #require(status == 0)
      pthread_join(thread, nil)
      let machine = try #require(box.machine)
      // A signal for the thread's end would have arrived by now.
      usleep(200_000)
      #expect(
        machine.pci.readConfiguration(UInt32.self, machine.address(of: 0), at: 0) == 0x11e8_1234)
      #expect(machine.failure == nil)
    }
  }
}

/// Carries a machine out of a thread.
///
/// Written before the thread ends, read after it was joined.
private final class MachineBox: @unchecked Sendable {
  var machine: QEMUMachine?
}

/// Ends this process as nothing can prevent.
private func killThisProcess(afterMicroseconds delay: UInt32) {
  var thread = pthread_t()
  _ = unsafe pthread_create(
    &thread, nil,
    { context in
      usleep(UInt32(UInt(bitPattern: context)))
      kill(getpid(), SIGKILL)
      return nil
    }, UnsafeMutableRawPointer(bitPattern: UInt(delay)))
}

/// QEMUs whose process is gone, after giving the kernel some seconds to end them.
private func orphans(after seconds: Int) throws -> [String] {
  var left: [String] = []
  for _ in 0..<seconds * 50 {
    left = processes(named: "swift-dma-").compactMap { process in
      guard let line = contents("/proc/\(process)/cmdline"),
        let name = line.split(separator: "\0").first(where: { $0.hasPrefix("swift-dma-") }),
        let owner = name.split(separator: "-").dropFirst(2).first.flatMap({ Int32($0) })
      else { return nil }
      return kill(owner, 0) == 0 ? nil : String(name)
    }
    if left.isEmpty { return [] }
    usleep(20_000)
  }
  return left
}
