public import DMA

/// A broken rule: who broke it where, which mapping it is about, and what to do.
public struct Finding: Sendable {
  public var rule: CheckRule
  /// The device's name.
  public var device: String
  /// The call that broke the rule; nil where no call did: a device's access, a leak.
  public var call: Call?
  /// The mapping it is about; for accesses that hit none, the nearest live one.
  public var mapping: Subject?
  /// The mapping that ended most recently there, and how long ago.
  public var lastFreed: Subject?
  /// What the call or the access should have said.
  public var expected: Quantity = .none
  /// What it said.
  public var seen: Quantity = .none
  /// The access, where a device made one.
  public var access: Access?
  /// What was left behind, for a leak.
  public var leak: Leak?
  /// The CPU's touch of memory that a device owns.
  public var touch: Touch?
  /// The name of the other device that it is about; "" for none.
  public var otherDevice = ""

  /// A call of the driver's.
  public struct Call: Sendable {
    public var kind: DMAEvent.Kind
    public var family: DMAEvent.Family
    public var site: CallSite?
    public var address: UInt64?
    public var byteCount: UInt64
    public var direction: DMADirection?
    public var entryCount: UInt32
  }

  /// A mapping, an allocation or a block.
  public struct Subject: Sendable {
    public var family: DMAEvent.Family
    public var address: UInt64
    /// Where the CPU has it: a host address, which reports hide unless asked.
    public var cpuAddress: UInt64
    public var byteCount: UInt64
    public var direction: DMADirection?
    /// Where it was made.
    public var site: CallSite?
    /// Nanoseconds of the machine since it was made.
    public var age: UInt64
    public var entryCount: UInt32
    /// Where it ended, for one that has.
    public var endSite: CallSite?
    /// Nanoseconds of the machine since it ended.
    public var endAge: UInt64 = 0
  }

  /// An access of a device.
  public struct Access: Sendable {
    public var address: UInt64
    public var byteCount: UInt64
    public var isWrite: Bool
    /// Why it was refused; nil for one that was not.
    public var reason: FaultReason?
  }

  /// A touch of the CPU's.
  public struct Touch: Sendable {
    /// How far into the mapping, where that is known.
    public var offset: UInt64?
    public var isWrite: Bool
    /// Which instruction: the program or library, where in it, and the function, if known.
    ///
    /// Symbolizers make a line of it.
    public var place: String
  }

  /// What one place left behind.
  public struct Leak: Sendable {
    /// How many mappings.
    public var count: Int
    /// Bytes of all.
    public var byteCount: UInt64
    /// Age of the oldest, in nanoseconds of the machine.
    public var oldestAge: UInt64
    /// Age of the youngest.
    public var youngestAge: UInt64
    /// How many were made in the later half of the time since the oldest: growth that goes on.
    public var recentCount: Int
    /// All that the place ever made, released or not.
    public var madeCount: UInt64
  }

  /// Something that was expected or seen.
  public enum Quantity: Sendable, Equatable {
    case none
    case bytes(UInt64)
    case entries(UInt64)
    case mappings(UInt64)
    case address(UInt64)
    case direction(DMADirection)
    case family(DMAEvent.Family)
    case memory(MemoryKind)
    case pool(UInt64)
    /// A CPU address, which reports hide unless asked.
    case cpuAddress(UInt64)
  }
}

/// Why an access of a device was refused.
public enum FaultReason: UInt8, Sendable {
  /// Nothing is mapped there.
  case notMapped
  /// Mapped, but not for this kind of access.
  case permission
  /// Bus mastering is off.
  case notBusMaster
  /// The address leads to no memory.
  case noMemory
  /// Something else.
  case other
}
