import DMA

/// What the checker keeps about a device.
public struct DeviceState: Sendable {
  /// Calls and bytes by direction: bidirectional, to the device, from the device, unknown.
  public internal(set) var calls: (Int, Int, Int, Int) = (0, 0, 0, 0)
  public internal(set) var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  public internal(set) var allocations = 0
  public internal(set) var allocatedBytes: UInt64 = 0
  public internal(set) var bouncedCalls = 0
  public internal(set) var bouncedBytes: UInt64 = 0
  public internal(set) var failedCalls = 0
  public internal(set) var liveCount = 0
  public internal(set) var liveBytes: UInt64 = 0
  public internal(set) var peakCount = 0
  public internal(set) var peakBytes: UInt64 = 0
  /// Releases and syncs of what the trace never showed being mapped.
  public internal(set) var unknownReleases = 0
  public internal(set) var unknownSyncs = 0
  public internal(set) var firstTime: UInt64 = 0
  public internal(set) var lastTime: UInt64 = 0
  var isSeen = false
  /// Its driver came after the trace had begun (and after the last loss): nothing of it is older.
  var cameInTrace = false
  /// Its first event follows a mark of some driver's coming: likely, but not certain.
  var followsArrival = false
  var allocatedSinceArrival = false
  /// It is going, by name, or by a mark without a name.
  var leaves = false
  var mayLeave = false
  var releasesSinceLeaving = 0
  var freesSinceLeaving = 0
  var mapsSinceLeaving = 0
  /// Mappings whose data the CPU never got, and whether other mappings show that it wants data.
  var neverSynced = 0
  var firstNeverSynced: Finding?
  var syncedSkipping = 0
  var handedOver = 0

  @inline(__always)
  mutating func acquired(_ byteCount: UInt64) {
    liveCount &+= 1
    liveBytes &+= byteCount
    if liveCount > peakCount { peakCount = liveCount }
    if liveBytes > peakBytes { peakBytes = liveBytes }
  }

  @inline(__always)
  mutating func released(_ byteCount: UInt64) {
    liveCount &-= 1
    liveBytes &-= byteCount
  }

  @inline(__always)
  mutating func count(_ direction: UInt8, _ byteCount: UInt64) {
    // SAFETY: a tuple of four equal values is laid out like an array of four (index is 0 to 3).
    // Directions come in no order: an index costs less than a wrong guess.
    let index = Int(min(direction, 3))
    unsafe withUnsafeMutablePointer(to: &calls) { calls in
      unsafe UnsafeMutableRawPointer(calls).assumingMemoryBound(to: Int.self)[index] &+= 1
    }
    unsafe withUnsafeMutablePointer(to: &bytes) { bytes in
      unsafe UnsafeMutableRawPointer(bytes).assumingMemoryBound(to: UInt64.self)[index] &+=
        byteCount
    }
  }
}
