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

  let receive: Receive
  let context: UnsafeMutableRawPointer
  let owner: AnyObject

  /// - Parameter owner: keeps `context` valid; held until the observer is replaced.
  public init(
    receive: @escaping Receive, context: UnsafeMutableRawPointer, owner: AnyObject
  ) {
    unsafe self.receive = receive
    unsafe self.context = context
    self.owner = owner
  }
}
