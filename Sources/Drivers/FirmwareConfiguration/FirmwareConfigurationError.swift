public import DMA

/// Why QEMU's configuration device could not do something.
public enum FirmwareConfigurationError: Error, Equatable, Sendable {
  /// The registers do not have the signature of a fw_cfg device with DMA.
  case notFirmwareConfiguration(signature: UInt64)
  /// The device set its error bit.
  case refused(selector: UInt16)
  /// The directory claims more files than the device can have.
  case malformedDirectory(count: UInt32)
  /// The device did not finish in time; the memory it was given stays in quarantine.
  case timedOut(milliseconds: Int)
  case dma(DMAError)
}

extension FirmwareConfigurationError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notFirmwareConfiguration(let signature):
      "not a fw_cfg device with DMA: signature 0x\(String(signature, radix: 16))"
    case .refused(let selector): "the device refused item 0x\(String(selector, radix: 16))"
    case .malformedDirectory(let count): "a directory of \(count) files"
    case .timedOut(let milliseconds): "the device did not finish in \(milliseconds) ms"
    case .dma(let error): "\(error.description)"
    }
  }
}
