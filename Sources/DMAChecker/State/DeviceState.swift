internal import DMA

/// What the checker keeps for one device; the context of its observer.
@safe
struct DeviceState: ~Copyable {
  let checker: UnsafeMutablePointer<CheckerState>
  let owner: Unmanaged<DMAChecker>
  /// The device's number with this checker, from 1.
  let number: UInt32
  let name: String
  let core: UnsafeMutablePointer<DMADeviceCore>
  /// Mappings that are live, without coherent memory and pools.
  var streamingCount = 0
  /// Whether the checker does not know all that is live: what it does not find is "unknown".
  var isIncomplete: Bool
  /// Whether a mask was refused and none was ever accepted: a driver that was given one may go on
  /// with it when a narrower one is refused, as the document's sound card does (E1).
  var isMaskRefused = false
  /// Whether a mask was accepted.
  var hasMask = false
  var isRemoved = false
  /// The time of its last event.
  var time: UInt64 = 0
  /// Ticks of a counter for which a time that was read still holds; 0 reads the clock every time.
  let moment: UInt64
  /// That counter when the time was read.
  var counter: UInt64 = 0
}

/// A device in the checker's list.
@safe
struct KnownDevice {
  let state: UnsafeMutablePointer<DeviceState>
}
