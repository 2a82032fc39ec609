public import DMA

/// What a machine does for PCI.
///
/// One table a machine; plain C functions, as everywhere.
@safe
public struct PCIOperations {
  /// (context, packed address, offset, bytes 1, 2 or 4): all ones when no function is there.
  public typealias ReadConfiguration =
    @convention(c) (UnsafeMutableRawPointer, UInt32, Int, Int) -> UInt32
  /// (context, packed address, offset, bytes 1, 2 or 4, value).
  public typealias WriteConfiguration =
    @convention(c) (UnsafeMutableRawPointer, UInt32, Int, Int, UInt32) -> Void
  /// (context, packed address, BAR index, its bus address, bytes, numbers): the first number is
  /// the CPU address of the registers, or 0 when they are reached by calls; then the second is
  /// the window those calls are told.
  public typealias MapBAR =
    @convention(c) (
      UnsafeMutableRawPointer, UInt32, Int, UInt64, Int, UnsafeMutablePointer<UInt64>
    ) -> Int32
  /// (context, packed address, vector index, numbers): a message for one interrupt vector; the
  /// numbers are its address, its data, and the machine's handle of the vector.
  public typealias AllocateMessage =
    @convention(c) (UnsafeMutableRawPointer, UInt32, Int, UnsafeMutablePointer<UInt64>) -> Int32
  /// (context, handle): gives the vector back.
  public typealias FreeMessage = @convention(c) (UnsafeMutableRawPointer, UInt64) -> Void
  /// (context, handle): 1 when the vector fired since the last call, and forgets it; else 0.
  public typealias TakeInterrupt = @convention(c) (UnsafeMutableRawPointer, UInt64) -> Int32
  /// (context, packed address, kind, vector index, numbers): turns an interrupt vector on where a
  /// kernel programs the device itself; the first number is the machine's handle of the vector.
  ///
  /// Kinds are 0 for the wire, 1 for MSI, 2 for MSI-X.
  public typealias AttachInterrupt =
    @convention(c) (
      UnsafeMutableRawPointer, UInt32, UInt32, Int, UnsafeMutablePointer<UInt64>
    ) -> Int32

  public var readConfiguration: ReadConfiguration
  public var writeConfiguration: WriteConfiguration
  public var mapBAR: MapBAR
  public var allocateMessage: AllocateMessage
  public var freeMessage: FreeMessage
  public var takeInterrupt: TakeInterrupt
  public var registers: RegisterOperations
  /// Nil where drivers write messages into the device themselves.
  public var attachInterrupt: AttachInterrupt?

  public init(
    readConfiguration: @escaping ReadConfiguration,
    writeConfiguration: @escaping WriteConfiguration, mapBAR: @escaping MapBAR,
    allocateMessage: @escaping AllocateMessage, freeMessage: @escaping FreeMessage,
    takeInterrupt: @escaping TakeInterrupt, registers: RegisterOperations,
    attachInterrupt: AttachInterrupt? = nil
  ) {
    unsafe self.readConfiguration = readConfiguration
    unsafe self.writeConfiguration = writeConfiguration
    unsafe self.mapBAR = mapBAR
    unsafe self.allocateMessage = allocateMessage
    unsafe self.freeMessage = freeMessage
    unsafe self.takeInterrupt = takeInterrupt
    self.registers = registers
    unsafe self.attachInterrupt = attachInterrupt
  }
}
