import DMA
import Synchronization

/// A block by its two addresses.
struct Block: Hashable, Sendable {
  var cpu: UInt
  var bus: UInt64

  /// A word of the block, whoever wrote it.
  subscript(offset: Int) -> UInt64 {
    get { UInt64.volatileLoad(at: cpu + UInt(offset)) }
    nonmutating set { UInt64.volatileStore(newValue, at: cpu + UInt(offset)) }
  }

  func byte(_ offset: Int) -> UInt8 { UInt8.volatileLoad(at: cpu + UInt(offset)) }

  func setByte(_ offset: Int, _ value: UInt8) {
    UInt8.volatileStore(value, at: cpu + UInt(offset))
  }
}

/// What the tests of pools ask of a pool: the library's, or the plain one with its flaws.
protocol TestedPool: AnyObject, Sendable {
  func allocate() throws(DMAError) -> Block
  func allocate(deadlineNanoseconds: UInt64) throws(DMAError) -> Block
  func free(_ block: Block) throws(DMAError)
  func destroy() throws(DMAError)
  var numbers: PoolNumbers { get }
  /// Free blocks that were found written: where, and from which byte to which.
  var corruptions: [PoolCorruption] { get }
}

struct PoolNumbers: Equatable {
  var active = 0
  var total = 0
  var blockSize = 0
  var pages = 0
}

struct PoolCorruption: Equatable, Sendable {
  var bus: UInt64
  var changed: Range<Int>
}

/// How the tests of pools come by one.
enum PoolKind: Sendable {
  case library
  /// Cut from pages by hand (R55), with a flaw or without.
  case plain(PoolFlaw?)
}

/// Makes pools of one kind for one device.
final class PoolMaker {
  let kind: PoolKind
  let device: DMADevice
  private var plain: [Weak] = []

  private struct Weak { weak var pool: PlainPool? }

  init(_ kind: PoolKind, _ device: DMADevice) {
    self.kind = kind
    self.device = device
  }

  func make(
    _ name: String = "pool", size: Int, align: Int = 1, boundary: Int = 0,
    options: DMAPoolOptions = []
  ) throws(DMAError) -> any TestedPool {
    switch kind {
    case .library:
      return try LibraryPool(name, size, align, boundary, options, device)
    case .plain(let flaw):
      let pool = try PlainPool(name, size, align, boundary, options, device, flaw)
      plain.append(Weak(pool: pool))
      return pool
    }
  }

  /// The statistics file of the device; nil without pools.
  var info: String? {
    guard case .plain = kind else { return device.poolInfo }
    let lines = plain.reversed().compactMap { $0.pool?.line }
    return lines.isEmpty ? nil : "poolinfo - 0.1\n" + lines.joined()
  }
}

/// The library's pool.
private final class LibraryPool: TestedPool {
  private final class Found: Sendable {
    let found = Mutex<[PoolCorruption]>([])
  }

  private let pool: DMAPool
  private let found = Found()

  init(
    _ name: String, _ size: Int, _ align: Int, _ boundary: Int, _ options: DMAPoolOptions,
    _ device: DMADevice
  ) throws(DMAError) {
    pool = try DMAPool(
      name: name, blockSize: size, alignment: align, boundary: boundary, for: device,
      options: options,
      onCorruption: { [found] report in
        found.found.withLock {
          $0.append(PoolCorruption(bus: report.address.rawValue, changed: report.changed))
        }
      })
  }

  private var site: CallSite { CallSite(#fileID, #line) }

  func allocate() throws(DMAError) -> Block {
    let memory = try pool.allocateRaw(site)
    return unsafe Block(cpu: UInt(bitPattern: memory.cpuAddress), bus: memory.address.rawValue)
  }

  func allocate(deadlineNanoseconds: UInt64) throws(DMAError) -> Block {
    let memory = try pool.allocateRaw(deadlineNanoseconds: deadlineNanoseconds, site)
    return unsafe Block(cpu: UInt(bitPattern: memory.cpuAddress), bus: memory.address.rawValue)
  }

  func free(_ block: Block) throws(DMAError) {
    try unsafe pool.freeRaw(
      cpuAddress: UnsafeMutableRawPointer(bitPattern: block.cpu),
      address: DMAAddress(rawValue: block.bus), site)
  }

  func destroy() throws(DMAError) { try pool.destroy() }

  var numbers: PoolNumbers {
    let statistics = pool.statistics
    return PoolNumbers(
      active: statistics.activeCount, total: statistics.totalCount,
      blockSize: statistics.blockSize, pages: statistics.pageCount)
  }

  var corruptions: [PoolCorruption] { found.found.withLock { $0 } }
}
