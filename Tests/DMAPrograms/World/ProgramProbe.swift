import PCI
public import SimulatedMachine

/// A device that reads and writes memory wherever a program tells it to, and nothing else.
public final class ProgramProbe: SimulatedDevice {
  public init() {
    super.init(
      identity: PCIIdentity(vendorID: 0x1af4, deviceID: 0x7e57, classCode: 0xff_0000),
      bars: [SimulatedBAR(index: 0, byteCount: 4096)])
  }

  /// What the device sees at a bus address, summed up.
  func read(_ address: UInt64, byteCount: Int) -> UInt64 {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    _ = unsafe bytes.withUnsafeMutableBytes { unsafe readMemory(address, into: $0) }
    return sum(bytes)
  }

  func write(_ address: UInt64, _ value: UInt8, byteCount: Int) {
    let bytes = [UInt8](repeating: value, count: byteCount)
    _ = unsafe bytes.withUnsafeBytes { unsafe writeMemory(address, from: $0) }
  }
}

/// A sum that differs when any byte does.
func sum(_ bytes: some Sequence<UInt8>) -> UInt64 {
  bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
