public import DMA
public import PCI

/// Why the teaching device could not do something.
public enum EduError: Error, Equatable, Sendable {
  /// The function is not an edu device.
  case notEdu(vendorID: UInt16, deviceID: UInt16)
  /// The device does not invert what is written to its liveness register.
  case notAlive(wrote: UInt32, read: UInt32)
  /// The device did not finish in time; its bus mastering was turned off. A retry needs a new
  /// `EduDevice`.
  case timedOut(milliseconds: Int)
  /// A transfer has 1 to `limit` bytes and lies inside of the device's buffer.
  case transferOutOfBounds(offset: Int, byteCount: Int, limit: Int)
  case dma(DMAError)
  case pci(PCIError)
}

extension EduError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notEdu(let vendorID, let deviceID):
      "not an edu device: \(String(vendorID, radix: 16)):\(String(deviceID, radix: 16))"
    case .notAlive(let wrote, let read):
      "liveness check: wrote 0x\(String(wrote, radix: 16)), read 0x\(String(read, radix: 16))"
    case .timedOut(let milliseconds):
      "the device did not finish in \(milliseconds) ms; its DMA was turned off"
    case .transferOutOfBounds(let offset, let byteCount, let limit):
      "a transfer of \(byteCount) bytes at \(offset): one has 1 to \(limit) bytes in the buffer"
    case .dma(let error): "\(error.description)"
    case .pci(let error): "\(error.description)"
    }
  }
}
