import DMA

/// Draws steps of a program without a fault, one after the other.
///
/// It knows what is live and who owns it; nothing it draws breaks a rule, on any machine.
public struct LegalGenerator {
  private struct Live {
    var item: Int
    var kind: Item.Kind
    var device: Int
    var direction: DMADirection
    var pages: [Int]
    var segments: [(offset: Int, byteCount: Int)]
    var pool = 0
  }

  private var live: [Live] = []
  private var freePages = Array(0..<World.pageCount)
  private var itemCount = 0
  private var lineCount: UInt32 = 0
  /// Whether each step has a line of its own; otherwise each kind has.
  private let hasLines: Bool
  private let liveMax: Int
  /// Steps that belong together and were not given out yet.
  private var waiting: [Op] = []

  /// - Parameter hasLines: for programs that are changed: a finding then names its step.
  public init(hasLines: Bool, liveMax: Int = 40) {
    self.hasLines = hasLines
    self.liveMax = liveMax
  }

  public var liveCount: Int { live.count }

  /// The next step.
  public mutating func next(using random: inout some RandomNumberGenerator) -> Op {
    while waiting.isEmpty { draw(&random) }
    return numbered(waiting.removeFirst())
  }

  /// The next step, when a program is to end: nil when nothing is live.
  public mutating func nextEnd() -> Op? {
    if waiting.isEmpty {
      guard let last = live.popLast() else { return nil }
      end(last)
    }
    return numbered(waiting.removeFirst())
  }

  /// Says that the step just given out made nothing: the machine was short of something.
  public mutating func forget(_ item: Int) {
    guard let index = live.firstIndex(where: { $0.item == item }) else { return }
    freePages += live[index].pages
    live.remove(at: index)
    waiting.removeAll { $0.item == item }
  }

  private mutating func numbered(_ op: Op) -> Op {
    var op = op
    if hasLines {
      lineCount += 1
      op.line = lineCount
    } else {
      op.line = UInt32(op.kind.rawValue) + 1
    }
    return op
  }

  private mutating func draw(_ random: inout some RandomNumberGenerator) {
    let isFull = live.count >= liveMax
    switch UInt32.random(in: 0..<16, using: &random) {
    case 0...3 where !isFull: map(&random)
    case 4 where !isFull: mapList(&random)
    case 5 where !isFull: allocate(&random)
    case 6 where !isFull: poolAllocate(&random)
    case 7 where !isFull: mapValue(&random)
    case 8...11:
      guard let index = live.indices.randomElement(using: &random) else { return }
      use(live[index], &random)
    case 12:
      guard let index = live.indices.randomElement(using: &random) else { return }
      remap(index, &random)
    default:
      guard let index = live.indices.randomElement(using: &random) else { return }
      live.swapAt(index, live.count - 1)
      end(live.removeLast())
    }
  }

  private mutating func newItem() -> Int {
    itemCount += 1
    return itemCount
  }

  private static func direction(_ random: inout some RandomNumberGenerator) -> DMADirection {
    DMADirection(rawValue: UInt8(UInt32.random(in: 0..<3, using: &random))) ?? .toDevice
  }

  private static func device(_ random: inout some RandomNumberGenerator) -> Int {
    Int(UInt32.random(in: 0..<2, using: &random))
  }

  private static func int(
    _ range: ClosedRange<Int>, _ random: inout some RandomNumberGenerator
  ) -> Int { Int.random(in: range, using: &random) }

  // MARK: Making

  private mutating func map(_ random: inout some RandomNumberGenerator) {
    guard let page = freePages.popLast() else { return }
    var op = Op(.map)
    op.item = newItem()
    op.device = Self.device(&random)
    op.page = page
    op.offset = Self.int(0...4000, &random)
    op.byteCount = Self.int(1...4096 - op.offset, &random)
    op.direction = Self.direction(&random)
    op.isErrorCheckExpected = Bool.random(using: &random)
    waiting.append(op)
    if op.isErrorCheckExpected {
      var check = op
      check.kind = .checkError
      waiting.append(check)
    }
    live.append(
      Live(
        item: op.item, kind: .region, device: op.device, direction: op.direction, pages: [page],
        segments: [(op.offset, op.byteCount)]))
  }

  private mutating func mapList(_ random: inout some RandomNumberGenerator) {
    let count = min(Self.int(1...5, &random), freePages.count)
    guard count > 0 else { return }
    var op = Op(.mapList)
    op.item = newItem()
    op.device = Self.device(&random)
    op.direction = Self.direction(&random)
    for _ in 0..<count {
      let offset = Self.int(0...4000, &random)
      op.entries.append(
        Op.Entry(
          page: freePages.removeLast(), offset: offset,
          byteCount: Self.int(1...4096 - offset, &random)))
    }
    waiting.append(op)
    live.append(
      Live(
        item: op.item, kind: .list, device: op.device, direction: op.direction,
        pages: op.entries.map(\.page), segments: op.entries.map { ($0.offset, $0.byteCount) }))
  }

  private mutating func allocate(_ random: inout some RandomNumberGenerator) {
    var op = Op(.allocate)
    op.item = newItem()
    op.device = Self.device(&random)
    op.byteCount = Self.int(1...9000, &random)
    waiting.append(op)
    live.append(
      Live(
        item: op.item, kind: .coherent, device: op.device, direction: .bidirectional, pages: [],
        segments: [(0, op.byteCount)]))
  }

  private mutating func poolAllocate(_ random: inout some RandomNumberGenerator) {
    var op = Op(.poolAllocate)
    op.item = newItem()
    op.device = Self.device(&random)
    op.pool = Self.int(0...1, &random)
    op.byteCount = World.blockByteCount
    waiting.append(op)
    live.append(
      Live(
        item: op.item, kind: .block, device: op.device, direction: .bidirectional, pages: [],
        segments: [(0, op.byteCount)], pool: op.pool))
  }

  private mutating func mapValue(_ random: inout some RandomNumberGenerator) {
    var op = Op(.mapValue)
    op.item = newItem()
    op.device = Self.device(&random)
    op.direction = Self.direction(&random)
    op.byteCount = Self.int(1...6000, &random)
    waiting.append(op)
    live.append(
      Live(
        item: op.item, kind: .value, device: op.device, direction: op.direction, pages: [],
        segments: [(0, op.byteCount)]))
  }

  // MARK: Using

  private func step(_ kind: Op.Kind, _ live: Live) -> Op {
    var op = Op(kind)
    op.item = live.item
    op.device = live.device
    op.direction = live.direction
    op.pool = live.pool
    return op
  }

  /// What the device does with it, then what the CPU does, between syncs.
  private mutating func use(_ live: Live, _ random: inout some RandomNumberGenerator) {
    // Merged segments are shorter in number: the first one is there in any case.
    let byteCount = live.segments[0].byteCount
    let offset = Self.int(0...byteCount - 1, &random)
    let count = Self.int(1...byteCount - offset, &random)
    func part(_ kind: Op.Kind) -> Op {
      var op = step(kind, live)
      op.offset = offset
      op.byteCount = count
      return op
    }
    if live.direction.deviceReads { waiting.append(part(.deviceRead)) }
    if live.direction.deviceWrites {
      var write = part(.deviceWrite)
      write.value = UInt8.random(in: 0 ... .max, using: &random)
      waiting.append(write)
    }
    switch live.kind {
    case .region:
      waiting.append(part(.syncForCPU))
      waiting.append(part(.cpuRead))
      if live.direction.deviceReads {
        var write = part(.cpuWrite)
        write.value = UInt8.random(in: 0 ... .max, using: &random)
        waiting.append(write)
        waiting.append(part(.syncForDevice))
        waiting.append(part(.deviceRead))
      } else if Bool.random(using: &random) {
        waiting.append(part(.syncForDevice))
      }
    case .list:
      waiting.append(step(.syncListForCPU, live))
      waiting.append(step(.syncListForDevice, live))
    case .coherent, .block:
      var write = part(.cpuWrite)
      write.value = UInt8.random(in: 0 ... .max, using: &random)
      waiting += [write, part(.deviceRead), part(.cpuRead)]
    case .value: break
    }
  }

  /// Ends a mapping and maps the same memory again, for a device that need not be the same.
  private mutating func remap(_ index: Int, _ random: inout some RandomNumberGenerator) {
    guard live[index].kind == .region else { return }
    let old = live.remove(at: index)
    end(old, keepingPages: true)
    freePages.append(old.pages[0])
    map(&random)
  }

  private mutating func end(_ old: Live, keepingPages: Bool = false) {
    let kind: Op.Kind =
      switch old.kind {
      case .region: .unmap
      case .list: .unmapList
      case .coherent: .free
      case .block: .poolFree
      case .value: .unmapValue
      }
    var op = step(kind, old)
    op.byteCount = old.segments[0].byteCount
    waiting.append(op)
    if !keepingPages { freePages += old.pages }
  }
}

extension LegalGenerator {
  /// A whole program of about this many steps, which releases all it made.
  public static func program(
    count: Int, using random: inout some RandomNumberGenerator
  ) -> [Op] {
    var generator = LegalGenerator(hasLines: true, liveMax: 12)
    var program: [Op] = []
    while program.count < count { program.append(generator.next(using: &random)) }
    while let op = generator.nextEnd() { program.append(op) }
    return program
  }
}
