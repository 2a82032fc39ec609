/// Where the mappings of running commands live, by command id.
///
/// A fixed number of slots, allocated once; claiming an id and completing it is O(1), in any
/// order, without counted references. A completion for an id that is not running is an error, not
/// a crash: devices answer twice, or for ids nobody gave them. Not thread-safe: one table a queue.
@frozen
@safe
public struct InFlightTable<Command: ~Copyable>: ~Copyable {
  @usableFromInline let commands: UnsafeMutablePointer<Command?>
  /// A stack of free ids: the first `freeCount` entries.
  @usableFromInline let free: UnsafeMutablePointer<UInt16>
  @usableFromInline var freeCount: Int
  /// How many commands can run at once: ids are below it.
  public let capacity: Int

  /// A table for `capacity` commands, 1 to 65535; anything else traps.
  @inlinable
  public init(capacity: Int) {
    precondition(capacity >= 1 && capacity <= 65535, "a table has 1 to 65535 slots")
    unsafe commands = UnsafeMutablePointer<Command?>.allocate(capacity: capacity)
    unsafe free = UnsafeMutablePointer<UInt16>.allocate(capacity: capacity)
    for index in 0..<capacity {
      // SAFETY: index is below the capacity of both.
      unsafe (commands + index).initialize(to: nil)
      unsafe (free + index).initialize(to: UInt16(capacity - 1 - index))
    }
    freeCount = capacity
    self.capacity = capacity
  }

  @inlinable
  deinit {
    // SAFETY: all slots are initialized; what still runs ends as its own deinit says.
    unsafe commands.deinitialize(count: capacity)
    unsafe commands.deallocate()
    unsafe free.deallocate()
  }

  /// How many commands are running.
  @inlinable
  public var count: Int { capacity - freeCount }

  /// Whether no id is free.
  @inlinable
  public var isFull: Bool { freeCount == 0 }

  /// The id the next command gets, or nil when the table is full.
  @inlinable
  public var nextID: UInt16? {
    // SAFETY: freeCount is the number of valid entries.
    freeCount == 0 ? nil : unsafe free[freeCount - 1]
  }

  /// Keeps a command and gives it an id.
  ///
  /// Traps when the table is full: ask `isFull` first.
  @inlinable
  public mutating func start(_ command: consuming Command) -> UInt16 {
    precondition(freeCount > 0, "the table is full")
    freeCount -= 1
    // SAFETY: ids on the stack are below the capacity, and their slots are nil.
    let id = unsafe free[freeCount]
    unsafe commands[Int(id)] = consume command
    return id
  }

  /// Takes a command out when its device says it is done; nil when no such command is running.
  @inlinable
  public mutating func complete(_ id: UInt16) -> Command? {
    guard Int(id) < capacity else { return nil }
    // SAFETY: the id was checked; take() leaves nil behind.
    guard let command = unsafe commands[Int(id)].take() else { return nil }
    unsafe free[freeCount] = id
    freeCount += 1
    return command
  }
}

// SAFETY: the table owns its slots alone.
extension InFlightTable: @unchecked Sendable where Command: Sendable & ~Copyable {}
