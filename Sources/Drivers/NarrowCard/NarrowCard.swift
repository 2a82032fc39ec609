public import DMA

/// The document's device with 24 bits of bus mastering (R16-R24): both ways out of a refusal.
///
/// Its driver asks the platform first. Where 24 bits cannot be served, it either moves data without
/// DMA or leaves the device alone, and warns in both cases (R19, R20).
public struct NarrowCard {
  /// How data reaches the device.
  public enum Path: UInt8, Sendable {
    case dma
    /// The CPU moves each word itself.
    case programmedIO
  }

  /// What to do where DMA cannot work.
  public enum Refusal: UInt8, Sendable {
    /// Go on without DMA.
    case useProgrammedIO
    /// Ignore the device.
    case skipDevice
  }

  /// What it does DMA with.
  public let device: DMADevice
  /// How data reaches the device.
  public let path: Path

  /// Sets the device up, or returns nil when it is skipped.
  public init?(_ device: DMADevice, whenRefused refusal: Refusal) {
    self.device = device
    guard device.supports(.bits24) else {
      device.warn("24-bit DMA addressing is not available")
      guard case .useProgrammedIO = refusal else { return nil }
      path = .programmedIO
      return
    }
    do throws(DMAError) {
      try device.setMask(.bits24)
      path = .dma
    } catch {
      // Only a device removed meanwhile gets here: the mask was just found to be supported.
      device.warn("the 24-bit mask was refused: \(error.description)")
      return nil
    }
  }
}
