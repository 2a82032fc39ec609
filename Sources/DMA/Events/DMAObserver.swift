/// Who hears of every event of a device.
///
/// A plain function and a context: an observed call costs one indirect jump more, an unobserved
/// one a single test of a flags word it reads anyway. The function may be called from any thread
/// that maps, in interrupts and with locks held: it must not wait and must not call back into the
/// device.
@safe
public struct DMAObserver {
  /// (context, pointer to one `DMAEvent`, valid during the call).
  public typealias Receive = @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void

  /// (context, bus address, physical address, CPU address, bytes, `MappingTraits`, file, line): a
  /// map of one region that succeeded.
  ///
  /// Without an event, whose many words cost more than all else. False when the observer wants one.
  package typealias ReceiveMap =
    @convention(c) (
      UnsafeMutableRawPointer, UInt64, UInt64, UInt64, UInt64, UInt32, UInt, UInt32
    ) -> Bool
  /// The same for its unmap, without the physical address.
  package typealias ReceiveUnmap =
    @convention(c) (
      UnsafeMutableRawPointer, UInt64, UInt64, UInt64, UInt32, UInt, UInt32
    ) -> Bool

  let receive: Receive
  let context: UnsafeMutableRawPointer
  let owner: AnyObject
  var receiveMap: ReceiveMap?
  var receiveUnmap: ReceiveUnmap?

  /// - Parameter owner: keeps `context` valid; held until the observer is replaced.
  public init(
    receive: @escaping Receive, context: UnsafeMutableRawPointer, owner: AnyObject
  ) {
    unsafe self.receive = receive
    unsafe self.context = context
    self.owner = owner
    unsafe receiveMap = nil
    unsafe receiveUnmap = nil
  }

  /// The same, with short ways for what drivers do most.
  package func adding(
    map: @escaping ReceiveMap, unmap: @escaping ReceiveUnmap
  ) -> DMAObserver {
    var result = self
    unsafe result.receiveMap = map
    unsafe result.receiveUnmap = unmap
    return result
  }
}

extension DMAObserver {
  /// One observer that passes every event on to two, the first first.
  public static func both(_ first: DMAObserver, _ second: DMAObserver) -> DMAObserver {
    let pair = ObserverPair(first, second)
    // SAFETY: the observer keeps the pair, which keeps the two.
    return unsafe DMAObserver(
      receive: { context, event in
        let pair = unsafe Unmanaged<ObserverPair>.fromOpaque(context).takeUnretainedValue()
        unsafe pair.first.receive(pair.first.context, event)
        unsafe pair.second.receive(pair.second.context, event)
      }, context: Unmanaged.passUnretained(pair).toOpaque(), owner: pair)
  }
}

private final class ObserverPair {
  let first: DMAObserver
  let second: DMAObserver

  init(_ first: DMAObserver, _ second: DMAObserver) {
    self.first = first
    self.second = second
  }
}
