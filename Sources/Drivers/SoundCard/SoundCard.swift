public import DMA

/// The document's sound card: two functions behind one PCI face, with different limits (R27-R29).
///
/// Playback drives 32 address bits; recording goes through an ISA chip and drives 24. Each
/// function is enabled only when the platform can serve its mask; a disabled one leaves a warning.
public struct SoundCard {
  /// The order in which the masks are tried.
  public enum Probe: UInt8, Sendable {
    /// The document's: playback's mask first, recording's second, so that the narrowest wanted
    /// mask is set last (R28).
    case playbackFirst
    /// Another driver of the time: 24 bits for both functions, else 32 for playback alone.
    case recordingFirst
  }

  /// What it does DMA with; its mask is the narrowest that is in use.
  public let device: DMADevice
  /// Whether sound can be played.
  public let canPlay: Bool
  /// Whether sound can be recorded.
  public let canRecord: Bool

  static let playbackMask = DMAMask.bits32
  static let recordingMask = DMAMask.bits24

  /// Finds out which functions this machine can serve, and records the mask they need.
  ///
  /// Never fails: a card with both functions off is the second choice of R19.
  public init(_ device: DMADevice, probe: Probe = .playbackFirst) {
    self.device = device
    switch probe {
    case .playbackFirst:
      canPlay = Self.set(Self.playbackMask, on: device, for: "playback")
      canRecord = Self.set(Self.recordingMask, on: device, for: "recording")
    case .recordingFirst:
      canRecord = Self.set(Self.recordingMask, on: device, for: "recording")
      canPlay = canRecord || Self.set(Self.playbackMask, on: device, for: "playback")
    }
  }

  private static func set(_ mask: DMAMask, on device: DMADevice, for function: String) -> Bool {
    do throws(DMAError) {
      try device.setMask(mask)
      return true
    } catch {
      device.warn("\(function) disabled due to DMA limitations: \(error.description)")
      return false
    }
  }
}
