public import DMA

/// Bounce buffers: memory a device does not reach is copied through memory it does (4.6).
///
/// What a device reaches by itself passes straight through. Everything else gets slots of 2 KiB in
/// a pool: copied in when mapped, and back when synced for the CPU or unmapped, as the direction
/// says. Coherent memory is never copied (R32). Bus addresses keep the low bits of the original
/// that `DMAConstraints.minimumAlignmentMask` names; without a mask, copies of a page and more
/// begin at a page.
@safe
public final class BounceMapping {
  /// How a pool is set up.
  public struct Options {
    /// Slots of 2 KiB; rounded up to 128 for each area.
    ///
    /// 64 MiB, as in Linux.
    public var slotCount = 32768
    /// Parts with a lock of their own, a power of two: threads use different ones while there is
    /// room.
    public var areaCount = 4
    /// The pool lies in reach of devices with this mask.
    public var limit = DMAMask.bits32
    /// The pool grows by 4 MiB at a time, up to this many slots; 0 for never.
    public var slotCountMax = 0
    /// Copies everything, also what the device reaches.
    public var isForced = false
    /// Bus address minus physical address.
    public var offset: UInt64 = 0
    /// Who hears of notices.
    public var notices: MappingNoticeReceiver? = nil

    public init() {}
  }

  /// What a pool did and has.
  public struct Statistics: Equatable, Sendable {
    /// Slots in all.
    public var totalSlots = 0
    /// Slots of live mappings.
    public var usedSlots = 0
    /// The most slots that were used at once, added up over the areas: exact while one area is
    /// enough, and never less than the truth.
    public var highWaterSlots = 0
    /// Bytes copied into slots.
    public var bytesIn: UInt64 = 0
    /// Bytes copied out of slots.
    public var bytesOut: UInt64 = 0

    /// Nothing yet.
    public init() {}
  }

  private let platform: Platform
  private var owner: BounceOwner?
  private let state: UnsafeMutablePointer<BounceState>

  /// A pool and the mapping that uses it.
  ///
  /// - Throws: `DMAError.outOfMemory` when the machine has no such piece of memory below the limit;
  ///   `.invalidAlignment` for a number of areas that is no power of two, `.emptyRequest` for no
  ///   slots.
  public init(platform: Platform, options: Options = Options()) throws(DMAError) {
    let owner = try unsafe BounceOwner(platform.unsafeCore, options)
    self.platform = platform
    unsafe state = owner.state
    self.owner = owner
  }

  deinit {
    // Before the platform: the last one to hold the pool gives memory back to it.
    owner = nil
  }

  /// What devices are made with.
  public var mapping: DMAMapping {
    unsafe DMAMapping(
      name: "bounce", operations: bounceOperations, context: UnsafeMutableRawPointer(state),
      owner: owner)
  }

  /// What the pool did and has.
  public var statistics: Statistics { unsafe state.pointee.statistics() }

  /// Starts the high-water mark anew from what is used now.
  public func resetHighWater() { unsafe state.pointee.resetHighWater() }
}

// SAFETY: the state is made for use from any thread; the owner changes only at the end.
extension BounceMapping: @unchecked Sendable {}

/// What devices keep instead of the mapping object: it does not hold the platform.
@safe
private final class BounceOwner {
  let state: UnsafeMutablePointer<BounceState>
  private let notices: AnyObject?

  init(
    _ platform: UnsafeMutablePointer<PlatformCore>, _ options: BounceMapping.Options
  ) throws(DMAError) {
    let fresh = try unsafe BounceState(platform: platform, options)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: fresh)
    notices = options.notices?.owner
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }
}
