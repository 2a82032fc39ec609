public import DMA
public import PCI

/// Why the network card could not do something.
public enum NetworkCardError: Error, Equatable, Sendable {
  /// The function is another device.
  case notNetworkCard(vendorID: UInt16, deviceID: UInt16)
  /// All descriptors of the ring are the card's; a retry after `reap` can help.
  case ringFull
  /// A frame has 1 to `limit` bytes.
  case frameLength(byteCount: Int, limit: Int)
  /// The card did not do it in time; a retry can help.
  case timedOut(milliseconds: Int)
  case dma(DMAError)
  case pci(PCIError)
}

extension NetworkCardError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notNetworkCard(let vendorID, let deviceID):
      "not the network card: \(String(vendorID, radix: 16)):\(String(deviceID, radix: 16))"
    case .ringFull: "all descriptors are the card's"
    case .frameLength(let byteCount, let limit):
      "a frame of \(byteCount) bytes: one has 1 to \(limit)"
    case .timedOut(let milliseconds): "the card was not done after \(milliseconds) ms"
    case .dma(let error): "\(error.description)"
    case .pci(let error): "\(error.description)"
    }
  }
}
