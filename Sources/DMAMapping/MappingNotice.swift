/// Something a mapping tells about itself that is no error of a call: what Linux writes to its log.
@frozen
public struct MappingNotice: BitwiseCopyable, Sendable {
  /// What happened.
  @frozen
  public enum Kind: UInt8, Sendable {
    /// Bus addresses below 4 GiB ran out: the devices of a domain get wider ones from now on.
    ///
    /// `first` is their width in bits.
    case wideAddresses
    /// The bounce pool had no room: bytes asked for, slots, slots used.
    case bouncePoolFull
    /// The bounce pool grew: slots added, slots in all.
    case bouncePoolGrew
    /// The IOMMU did not finish an invalidation: first bus address and bytes that are never used
    /// again.
    case invalidationFailed
  }

  public let kind: Kind
  public let first: UInt64
  public let second: UInt64
  public let third: UInt64

  init(_ kind: Kind, _ first: UInt64, _ second: UInt64 = 0, _ third: UInt64 = 0) {
    self.kind = kind
    self.first = first
    self.second = second
    self.third = third
  }
}

extension MappingNotice: CustomStringConvertible {
  /// The notice as Linux words it, where Linux has it.
  public var description: String {
    switch kind {
    case .wideAddresses: "Using \(first)-bit DMA addresses"
    case .bouncePoolFull:
      "bounce buffer is full (sz: \(first) bytes), total \(second) (slots), used \(third) (slots)"
    case .bouncePoolGrew: "bounce buffer grew by \(first) to \(second) slots"
    case .invalidationFailed:
      "IOMMU did not invalidate 0x\(String(first, radix: 16)), \(second) bytes: they stay unused"
    }
  }
}

/// Who hears of a mapping's notices.
@safe
public struct MappingNoticeReceiver {
  /// (context, pointer to one `MappingNotice`, valid during the call): from any thread that maps, in interrupts and with locks held; must not
  /// wait and must not call back into the mapping.
  public typealias Receive = @convention(c) (UnsafeMutableRawPointer?, UnsafeRawPointer) -> Void

  let receive: Receive?
  let context: UnsafeMutableRawPointer?
  let owner: AnyObject?

  /// - Parameter owner: keeps `context` valid; held as long as the mapping.
  public init(receive: @escaping Receive, context: UnsafeMutableRawPointer?, owner: AnyObject?) {
    unsafe self.receive = receive
    unsafe self.context = context
    self.owner = owner
  }

  init() {
    unsafe receive = nil
    unsafe context = nil
    owner = nil
  }
}

/// A receiver in plain memory: without its owner, which somebody else holds.
@safe
struct NoticeSink {
  private let receive: MappingNoticeReceiver.Receive?
  private let context: UnsafeMutableRawPointer?

  init(_ receiver: MappingNoticeReceiver) {
    unsafe receive = receiver.receive
    unsafe context = receiver.context
  }

  @inline(never)
  func send(_ notice: MappingNotice) {
    guard let receive = unsafe receive else { return }
    // SAFETY: the mapping holds the context's owner; the notice outlives the call.
    unsafe withUnsafePointer(to: notice) { unsafe receive(context, UnsafeRawPointer($0)) }
  }
}
