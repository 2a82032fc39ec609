public import DMA
public import PCI

/// Why the Gigabit Ethernet card could not do something.
public enum E1000Error: Error, Equatable, Sendable {
  /// The function is another device.
  case notE1000(vendorID: UInt16, deviceID: UInt16)
  /// The card did not come out of its reset.
  case resetTimedOut(milliseconds: Int)
  /// All descriptors of the ring are the card's; a retry after `reap` can help.
  case ringFull
  /// A frame has 14 to `limit` bytes.
  case frameLength(byteCount: Int, limit: Int)
  /// What was waited for did not happen in time; a retry can help.
  case timedOut(milliseconds: Int)
  case dma(DMAError)
  case pci(PCIError)
}

extension E1000Error: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notE1000(let vendorID, let deviceID):
      "not an e1000: \(String(vendorID, radix: 16)):\(String(deviceID, radix: 16))"
    case .resetTimedOut(let milliseconds): "the card was still resetting after \(milliseconds) ms"
    case .ringFull: "all descriptors are the card's"
    case .frameLength(let byteCount, let limit):
      "a frame of \(byteCount) bytes: one has 14 to \(limit)"
    case .timedOut(let milliseconds): "nothing came of it in \(milliseconds) ms"
    case .dma(let error): "\(error.description)"
    case .pci(let error): "\(error.description)"
    }
  }
}
