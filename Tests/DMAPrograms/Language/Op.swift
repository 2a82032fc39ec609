public import DMA

/// One step of a driver's program, as data: what it is, and everything it says.
///
/// Programs of such steps are drawn at random, changed into wrong ones, and run against a machine
/// (`World`), with a checker or without.
public struct Op: Sendable {
  public enum Kind: UInt8, Sendable, CaseIterable {
    case map, unmap, syncForCPU, syncForDevice, checkError
    case cpuWrite, cpuRead, deviceRead, deviceWrite
    case mapList, unmapList, syncListForCPU, syncListForDevice
    case allocate, free
    case poolAllocate, poolFree, poolDestroy
    case mapValue, unmapValue, dropValue
    case setMask, freePage, stopMastering
  }

  /// What memory a map is of.
  public enum Memory: UInt8, Sendable {
    case page, vmalloc, stack, image, user
  }

  /// One entry of a list.
  public struct Entry: Sendable {
    public var page: Int
    public var offset: Int
    public var byteCount: Int
  }

  public var kind: Kind
  /// The line its calls are made at: the same for the same step of a program and its mutants.
  public var line: UInt32 = 0
  /// What it is about, by number; made by one step, ended by another.
  public var item = 0
  public var device = 0
  public var page = 0
  /// Where in the page, or for parts where in the item.
  public var offset = 0
  public var byteCount = 0
  public var direction = DMADirection.bidirectional
  public var entries: [Entry] = []
  public var pool = 0
  public var value: UInt8 = 0
  public var memory = Memory.page
  /// Whether a map's result has to be looked at.
  public var isErrorCheckExpected = false
  /// Bits of a mask.
  public var maskBits = 32

  // What a wrong program says instead of what is true.
  /// The handle given is this much off.
  public var addressDelta: Int64 = 0
  /// All ones is given instead of the handle.
  public var isErrorValue = false
  /// The CPU address given is this much off.
  public var cpuDelta = 0
  /// The length or count given is this much off.
  public var countDelta = 0
  /// The family of calls used instead.
  public var isOtherFamily = false

  public init(_ kind: Kind) { self.kind = kind }
}

extension Op: CustomStringConvertible {
  public var description: String {
    var text = "\(line) \(kind) item \(item) device \(device) +\(offset) \(byteCount) \(direction)"
    if addressDelta != 0 { text += " address\(addressDelta)" }
    if countDelta != 0 { text += " count\(countDelta)" }
    return text
  }
}

/// One way to stand between devices and memory, with what devices drive.
public struct ProgramSetup: Sendable, CustomStringConvertible {
  public enum Kind: String, CaseIterable, Sendable {
    case direct, bounce, strict, deferred
  }

  public var kind: Kind
  public var isCoherent: Bool
  public var maskBits: Int

  public init(_ kind: Kind, isCoherent: Bool, maskBits: Int) {
    self.kind = kind
    self.isCoherent = isCoherent
    self.maskBits = maskBits
  }

  /// Every mapping, coherent and not, with every mask.
  public static let all: [ProgramSetup] = Kind.allCases.flatMap { kind in
    [true, false].flatMap { isCoherent in
      [24, 28, 32, 64].map { ProgramSetup(kind, isCoherent: isCoherent, maskBits: $0) }
    }
  }

  public var hasIOMMU: Bool { kind == .strict || kind == .deferred }

  public var description: String {
    "\(kind.rawValue), \(isCoherent ? "coherent" : "incoherent"), \(maskBits) bits"
  }
}
