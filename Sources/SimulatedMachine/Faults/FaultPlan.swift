internal import Synchronization

/// Which allocations, mappings and device responses of a machine fail.
///
/// Every call that can fail asks the plan first and is counted. A plan lets a certain one fail, or
/// some by a seed, or none: the same plan and the same calls give the same run. Given to a machine
/// in its configuration; mappings take part when they are wrapped (`failing(_:)`). Any thread may
/// use it.
@safe
public final class FaultPlan {
  /// What can fail.
  public enum Point: UInt8, CaseIterable, Sendable {
    /// The page allocator: buffers, pools, tables, bounce slots.
    case pages
    /// Coherent memory of a mapping.
    case coherent
    /// A streaming map of one region.
    case map
    /// The map of a list.
    case mapList
    /// A message interrupt's vector.
    case interruptVector
    /// The registers of a device.
    case registers
    /// A device's read or write of memory: refused as by a bus error.
    case deviceAccess
  }

  /// Some points.
  public struct Points: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public init(_ points: Point...) {
      rawValue = points.reduce(0) { $0 | 1 << $1.rawValue }
    }

    /// All but what devices do: then every failure must be somebody's error.
    public static let calls = Points(
      .pages, .coherent, .map, .mapList, .interruptVector, .registers)
    public static let all = Points(rawValue: 0x7f)
  }

  private let points: Points
  private let nth: Int
  private let seed: UInt64
  private let oneIn: UInt64
  private let passed = Atomic<Int>(0)
  private let failed = Atomic<Int>(0)
  private let active = Atomic<Bool>(true)

  private init(_ points: Points, nth: Int, seed: UInt64, oneIn: UInt64) {
    self.points = points
    self.nth = nth
    self.seed = seed
    self.oneIn = oneIn
  }

  /// Nothing fails; how often something could is counted.
  public static func counting(_ points: Points = .all) -> FaultPlan {
    FaultPlan(points, nth: 0, seed: 0, oneIn: 0)
  }

  /// The nth of all that could fail does, counted from 1, and nothing else.
  public static func nth(_ nth: Int, of points: Points = .all) -> FaultPlan {
    FaultPlan(points, nth: nth, seed: 0, oneIn: 0)
  }

  /// Each fails with a chance of one in `oneIn`, decided by a seed.
  public static func seeded(
    _ seed: UInt64, oneIn: UInt64, of points: Points = .all
  ) -> FaultPlan {
    FaultPlan(points, nth: 0, seed: seed, oneIn: max(1, oneIn))
  }

  /// How often something could have failed so far.
  public var count: Int { passed.load(ordering: .relaxed) }

  /// How often something did.
  public var failureCount: Int { failed.load(ordering: .relaxed) }

  /// Whether the plan counts and fails anything now: off while a machine is being put together.
  public var isActive: Bool {
    get { active.load(ordering: .relaxed) }
    set { active.store(newValue, ordering: .relaxed) }
  }

  /// Whether the call that asks is to fail.
  public func fails(_ point: Point) -> Bool {
    guard isActive, points.contains(Points(point)) else { return false }
    let number = passed.add(1, ordering: .relaxed).newValue
    var isFailing = number == nth
    if oneIn > 0 {
      // SplitMix64 of the number.
      var z = seed &+ UInt64(number) &* 0x9e37_79b9_7f4a_7c15
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      isFailing = (z ^ (z >> 31)) % oneIn == 0
    }
    if isFailing { failed.add(1, ordering: .relaxed) }
    return isFailing
  }
}

// SAFETY: all that changes is atomic.
extension FaultPlan: @unchecked Sendable {}
