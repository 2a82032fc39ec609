public import DMA

extension VFIOUserMachine {
  /// What machine to put in front of a server's device.
  public struct Configuration: Sendable {
    /// The server's UNIX socket.
    public var path: String
    /// RAM in bytes: whole 2 MiB, at least 32 MiB.
    ///
    /// It is sparse: the host pays for what is touched.
    public var memoryByteCount: UInt64 = 256 << 20
    /// How much of the RAM lies below 4 GiB, whole 2 MiB; the rest begins there.
    public var lowMemoryByteCount: UInt64 = 2 << 30
    /// How the server reaches memory.
    public var memoryAccess = MemoryAccess.shared
    /// How long the server may take to answer; it then counts as hung.
    public var replyTimeoutMilliseconds = 800
    /// How long a reset may take, for which the protocol knows no limit.
    public var resetTimeoutMilliseconds = 5_000
    /// Hears of each access the server asks for, refused or not; on the thread that serves it.
    public var accessObserver: (@Sendable (Access) -> Void)?

    /// A machine with 256 MiB and the device behind this socket.
    public init(path: String) { self.path = path }
  }

  /// How a server reaches memory.
  public enum MemoryAccess: Sendable, Equatable {
    /// It gets the memory's descriptor, maps it, and tells nobody what it does there.
    ///
    /// It must be trusted: what it once mapped cannot be taken from it.
    case shared
    /// It asks for each access by a message.
    case messages
  }

  /// An access to memory that a server asked for.
  public struct Access: Sendable, Equatable {
    public var address: DMAAddress
    public var byteCount: Int
    public var isWrite: Bool
    /// It was outside of memory, and nothing moved.
    public var isRefused: Bool
  }
}

extension VFIOUserMachine.Configuration {
  private static let granule: UInt64 = 2 << 20

  /// Refuses what cannot be given to a server, or is no machine.
  func validate() throws(VFIOUserError) {
    guard memoryByteCount >= 32 << 20, memoryByteCount % Self.granule == 0,
      memoryByteCount <= 512 << 30
    else { throw .invalidConfiguration("RAM is 32 MiB to 512 GiB in whole 2 MiB") }
    guard lowMemoryByteCount >= 32 << 20, lowMemoryByteCount <= 3 << 30,
      lowMemoryByteCount % Self.granule == 0
    else { throw .invalidConfiguration("RAM below 4 GiB is 32 MiB to 3 GiB in whole 2 MiB") }
    guard replyTimeoutMilliseconds > 0, resetTimeoutMilliseconds > 0,
      replyTimeoutMilliseconds <= 3_600_000, resetTimeoutMilliseconds <= 3_600_000
    else { throw .invalidConfiguration("a timeout is 1 ms to an hour") }
  }
}
