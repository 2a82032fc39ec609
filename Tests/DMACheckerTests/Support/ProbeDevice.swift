import PCI
import SimulatedMachine

/// A device that reads and writes memory wherever a test tells it to, and nothing else.
final class ProbeDevice: SimulatedDevice {
  init() {
    super.init(
      identity: PCIIdentity(vendorID: 0x1af4, deviceID: 0x7e57, classCode: 0xff_0000),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)])
  }

  /// What the device sees at a bus address; nil when the bus does not let it look.
  func read(_ address: UInt64, byteCount: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let outcome = unsafe bytes.withUnsafeMutableBytes { unsafe readMemory(address, into: $0) }
    return outcome == .done ? bytes : nil
  }

  /// Writes at a bus address; false when the bus does not let it.
  func write(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { unsafe writeMemory(address, from: $0) } == .done
  }
}
