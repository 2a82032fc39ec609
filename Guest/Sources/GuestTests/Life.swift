import CGuestTests
import DMA
import Drivers
import Glibc
import PCI
import VFIOMachine

/// A machine's end, its copies and its resets.
enum Life {
  static func run(_ address: PCIAddress, _ checks: Checks) {
    end(address, checks)
    copies(address, checks)
    arena(address, checks)
  }

  private static func end(_ address: PCIAddress, _ checks: Checks) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    checks.expect("the IOMMU has pages of 4 KiB", machine.pageSizes & 4096 != 0)
    checks.expect("the kernel tells ranges", !machine.addressRanges.isEmpty)
    checks.expect("and a number of mappings", machine.entriesAvailable != nil)
    say("info: ranges \(machine.addressRanges), entries \(machine.entriesAvailable ?? -1)")
    checks.expect("edu cannot be reset", !machine.canReset(address))
    do throws(VFIOError) {
      try machine.reset(address)
      checks.expect("a reset that is not there is an error", false)
    } catch {
      checks.expect("a reset that is not there is an error: \(error)", true)
    }
    do {
      let live = try Isolation.canvas(1, machine).map(ToDevice.self, for: edu.device.dma).get()
      machine.close()
      checks.expect("a closed machine has no entries", machine.entryCount == 0)
      checks.expect("registers read as all ones", edu.identification == .max)
      checks.expect(
        "configuration space too", edu.device.readConfiguration(UInt16.self, at: 0) == 0xffff)
      let buffer = live.unmap()
      checks.expect("a lease ends after the machine", buffer.byteCount == 3 * 4096)
      switch buffer.map(ToDevice.self, for: edu.device.dma) {
      case .mapped: checks.expect("maps are refused", false)
      case .failed(_, let error): checks.expect("maps are refused", error == .deviceRemoved)
      }
      machine.close()
    } catch {
      abandon("life: \(error)")
    }
    let again = GuestTests.open(address)
    checks.expect("it can be opened again at once", again.entryCount == 1)
    again.close()
  }

  private static func copies(_ address: PCIAddress, _ checks: Checks) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    let process = guest_fork()
    if process == 0 {
      // In the copy: everything that would need the parent's memory says so.
      var wrong: Int32 = 0
      do throws(DMAError) {
        _ = try StreamingBuffer(byteCount: 4096, in: machine.platform)
        wrong |= 1
      } catch {
        if machine.explain(error) != .forked { wrong |= 2 }
      }
      do throws(VFIOError) {
        _ = try machine.auditMemory()
        wrong |= 4
      } catch {
        if error != .forked { wrong |= 8 }
      }
      machine.close()
      _exit(wrong)
    }
    let status = guest_wait(process)
    checks.expect("a forked copy is told so", status == 0, "status \(status)")
    checks.expect("and leaves the device to its parent", edu.identification & 0xff == 0xed)
  }

  private static func arena(_ address: PCIAddress, _ checks: Checks) {
    var configuration = VFIOMachine.Configuration()
    configuration.mode = .arena
    configuration.memoryByteCount = 16 << 20
    configuration.addressLimit = EduDevice.defaultMask
    let machine = GuestTests.open(address, configuration)
    let edu = GuestTests.edu(machine, address)
    let entries = machine.entryCount
    checks.expect("an arena is one piece", entries == 1)
    checks.expect("arena: huge pages are used", machine.hasHugePages)
    do {
      let mapping = try Isolation.canvas(7, machine).map(ToDevice.self, for: edu.device.dma).get()
      checks.expect("arena: a map makes no entry", machine.entryCount == entries)
      try edu.write(from: mapping.address, byteCount: 1024)
      _ = mapping.unmap()
      let target = try Isolation.canvas(0, machine).map(FromDevice.self, for: edu.device.dma).get()
      try edu.read(to: target.address, byteCount: 1024)
      let buffer = target.unmap()
      checks.expect(
        "arena: bytes arrive",
        unsafe buffer.bytes.unsafeLoad(fromByteOffset: 1023, as: UInt8.self) == 7
          && buffer.bytes.unsafeLoad(fromByteOffset: 1024, as: UInt8.self) == 0)
    } catch {
      abandon("arena: \(error)")
    }
    let exposure = machine.exposure
    for line in exposure.lines { say("info: \(line)") }
    checks.expect(
      "arena: what stays exposed is counted",
      exposure.permanentByteCount == 16 << 20 && exposure.idleByteCount <= 16 << 20
        && exposure.requirementsNotHeld.count == 3)
  }
}
