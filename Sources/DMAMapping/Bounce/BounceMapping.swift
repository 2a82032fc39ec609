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
    /// Address bits that every copy keeps, besides those of its device: 2^k - 1 or 0.
    ///
    /// 4095 keeps the place within a page (R42), and costs up to a page of slots a mapping.
    public var minimumAlignmentMask: UInt64 = 0
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

  private let state: UnsafeMutablePointer<BounceState>
  private let noticeOwner: AnyObject?

  /// A pool and the mapping that uses it.
  ///
  /// - Throws: `DMAError.outOfMemory` when the machine has no such piece of memory below the limit;
  ///   `.invalidAlignment` for a number of areas that is no power of two, or for a mask with holes;
  ///   `.emptyRequest` for no slots.
  public init(platform: Platform, options: Options = Options()) throws(DMAError) {
    let fresh = try unsafe BounceState(platform: platform.unsafeCore, options)
    unsafe PlatformCore.hold(platform.unsafeCore)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: fresh)
    noticeOwner = options.notices?.owner
  }

  deinit {
    let platform = unsafe state.pointee.platform
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
    unsafe PlatformCore.drop(platform)
  }

  /// What devices are made with.
  public var mapping: DMAMapping {
    unsafe DMAMapping(
      name: "bounce", operations: bounceOperations, context: UnsafeMutableRawPointer(state),
      owner: self)
  }

  /// What the pool did and has.
  public var statistics: Statistics { unsafe state.pointee.statistics() }

  /// Starts the high-water mark anew from what is used now.
  public func resetHighWater() { unsafe state.pointee.resetHighWater() }
}

// SAFETY: the state is made for use from any thread.
extension BounceMapping: @unchecked Sendable {}
