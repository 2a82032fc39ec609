import DMA
import Synchronization

/// A pool as a driver would write it: pages of coherent memory cut up by hand (R55), the lowest
/// free block first, what is free kept outside of the blocks.
///
/// Nothing of the library's pool is used. Without a flaw it passes the tests of pools.
final class PlainPool: TestedPool {
  private struct Page {
    var block: Block
    var free: [Bool]
  }

  private struct State {
    var pages: [Page] = []
    var isDestroyed = false
    var failures = 0
    var corruptions: [PoolCorruption] = []
  }

  private let name: String
  private let shape: PlainShape
  private let options: DMAPoolOptions
  private let device: DMADevice
  private let flaw: PoolFlaw?
  private let state = Mutex(State())
  private let isGrowing = Atomic(false)

  init(
    _ name: String, _ size: Int, _ align: Int, _ boundary: Int, _ options: DMAPoolOptions,
    _ device: DMADevice, _ flaw: PoolFlaw?
  ) throws(DMAError) {
    if flaw == .needsToSleep, ExecutionContext.current.isAtomic { throw .wouldBlock }
    if flaw == .refusesUnknownFlags, options.rawValue > 3 { throw .machine(code: 22) }
    shape = try PlainShape(size: size, align: align, boundary: boundary, flaw)
    self.name = name
    self.options = options
    self.device = device
    self.flaw = flaw
  }

  deinit {
    // What is in use stays: the device may still be using it (R71).
    if flaw != .keepsPages, activeCount == 0 || flaw == .destroysBusy { freePages() }
  }

  private var site: CallSite { CallSite(#fileID, #line) }
  private var isPoisoned: Bool { options.contains(.poisoned) && flaw != .forgetsPoison }

  // MARK: Blocks

  func allocate() throws(DMAError) -> Block {
    if flaw == .needsToSleep, ExecutionContext.current.isAtomic { throw .wouldBlock }
    if let block = take() { return block }
    do throws(DMAError) { try grow() } catch {
      if flaw == .countsFailures { state.withLock { $0.failures += 1 } }
      throw error
    }
    guard let block = take() else { throw .outOfMemory(byteCount: shape.page, limit: .max) }
    return block
  }

  func allocate(deadlineNanoseconds deadline: UInt64) throws(DMAError) -> Block {
    guard !ExecutionContext.current.isAtomic else { throw .wouldBlock }
    while true {
      do throws(DMAError) { return try allocate() } catch {
        guard error.isTransient, flaw != .doesNotWait else { throw error }
      }
      guard device.platform.nanoseconds < deadline else { throw .timedOut }
      device.platform.relax()
    }
  }

  private func take() -> Block? {
    let found: Block? = state.withLock { state in
      for page in state.pages.indices {
        for index in state.pages[page].free.indices where state.pages[page].free[index] {
          if flaw == .searches32Bits, index >= 32 { break }
          state.pages[page].free[index] = false
          return shape.block(index, of: state.pages[page].block)
        }
      }
      return nil
    }
    guard let found else { return nil }
    if isPoisoned { unpoison(found) }
    if options.contains(.zeroed), flaw != .forgetsToZero { fill(found, 0) }
    return found
  }

  private func grow() throws(DMAError) {
    if flaw == .failsToGrowPoisoned, options.contains(.poisoned) {
      throw .outOfMemory(byteCount: shape.page, limit: .max)
    }
    isGrowing.store(true, ordering: .relaxed)
    defer { isGrowing.store(false, ordering: .relaxed) }
    let memory = try device.allocateConsistent(byteCount: shape.page, site: site)
    let block = unsafe Block(
      cpu: UInt(bitPattern: memory.cpuAddress), bus: memory.address.rawValue)
    if isPoisoned { for offset in 0..<shape.page { block.setByte(offset, 0xa7) } }
    state.withLock {
      $0.pages.append(Page(block: block, free: Array(repeating: true, count: shape.perPage)))
    }
  }

  func free(_ block: Block) throws(DMAError) {
    // A lock that is held would be waited for here, for ever if its owner waits for this call.
    if flaw == .locksWhileGrowing, isGrowing.load(ordering: .relaxed) { throw .timedOut }
    let address = DMAAddress(rawValue: block.bus)
    var ended: Block? = nil
    try state.withLock { state throws(DMAError) in
      guard
        let page = state.pages.firstIndex(where: {
          block.bus >= $0.block.bus && block.bus - $0.block.bus < UInt64(shape.page)
        }), let index = shape.index(at: Int(block.bus - state.pages[page].block.bus))
      else {
        if flaw == .acceptsForeign { return }
        throw .notInPool(address)
      }
      let expected = shape.block(index, of: state.pages[page].block)
      guard expected.cpu == block.cpu || flaw == .acceptsMismatch else { throw .wrongCPUAddress }
      guard !state.pages[page].free[index] || flaw == .acceptsDoubleFree else {
        throw .blockNotAllocated(address)
      }
      if isPoisoned { fill(expected, 0xa7) }
      state.pages[page].free[index] = true
      if flaw == .dropsEmptyPages, state.pages[page].free.allSatisfy({ $0 }) {
        ended = state.pages.remove(at: page).block
      }
    }
    if let ended { freePage(ended) }
  }

  private func fill(_ block: Block, _ byte: UInt8) {
    for offset in 0..<shape.step { block.setByte(offset, byte) }
  }

  private func unpoison(_ block: Block) {
    let changed = (0..<shape.step).filter { block.byte($0) != 0xa7 }
    if let first = changed.first, let last = changed.last, flaw != .overlooksPoison {
      state.withLock {
        $0.corruptions.append(PoolCorruption(bus: block.bus, changed: first..<last + 1))
      }
    }
    fill(block, 0xa9)
  }

  // MARK: The end

  func destroy() throws(DMAError) {
    if flaw != .destroysInInterrupt, ExecutionContext.current == .interrupt {
      throw .forbiddenInInterrupt
    }
    let busy = activeCount
    guard busy == 0 || flaw == .destroysBusy else { throw .poolBusy(blockCount: busy) }
    state.withLock { $0.isDestroyed = true }
    if flaw != .keepsPages { freePages() }
  }

  private func freePages() {
    let pages = state.withLock { state in
      defer { state.pages = [] }
      return state.pages
    }
    for page in pages { freePage(page.block) }
  }

  private func freePage(_ page: Block) {
    do throws(DMAError) {
      try unsafe device.freeConsistent(
        byteCount: shape.page, cpuAddress: UnsafeMutableRawPointer(bitPattern: page.cpu),
        address: DMAAddress(rawValue: page.bus), site: site)
    } catch {
      // In an interrupt: only a flawed pool comes here.
    }
  }

  // MARK: Numbers

  private var activeCount: Int {
    state.withLock { state in
      state.pages.reduce(state.failures) { $0 + $1.free.count { !$0 } }
    }
  }

  var numbers: PoolNumbers {
    let pages = state.withLock { $0.pages.count }
    return PoolNumbers(
      active: activeCount, total: pages * shape.perPage, blockSize: shape.step, pages: pages)
  }

  var corruptions: [PoolCorruption] { state.withLock { $0.corruptions } }

  /// Its line of the statistics file.
  var line: String? {
    guard state.withLock({ !$0.isDestroyed }) else { return nil }
    let numbers = numbers
    func padded(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return " " + String(repeating: " ", count: max(0, width - text.count)) + text
    }
    let name = flaw == .forgetsName ? "" : String(name.prefix(31))
    return name + String(repeating: " ", count: max(0, 16 - name.count))
      + padded(numbers.active, 4) + padded(numbers.total, 4) + padded(numbers.blockSize, 4)
      + padded(numbers.pages, 2) + "\n"
  }
}

/// How a plain pool cuts a page.
private struct PlainShape {
  var step: Int
  var page: Int
  var window: Int
  var perWindow: Int
  var perPage: Int

  init(size: Int, align: Int, boundary: Int, _ flaw: PoolFlaw?) throws(DMAError) {
    let limit = Int(Int32.max)
    guard size > 0 else { throw .emptyRequest }
    guard size <= limit else { throw .tooLarge(byteCount: size, limit: limit) }
    let unit = max(align, align == 0 ? 1 : align)
    guard unit > 0, unit <= 1 << 30, flaw == .acceptsAnyAlignment || unit & (unit - 1) == 0 else {
      throw .invalidAlignment(align, limit: 1 << 30)
    }
    let rest = size % unit
    step = rest == 0 ? size : size + unit - rest
    if flaw == .roundsTooFar, rest == unit - 1, unit > 1 { step += unit }
    if flaw == .ignoresAlignment { step = size }
    let wanted = flaw == .refusesStraddling && boundary == 0 ? 4096 : boundary
    if flaw != .acceptsImpossible, wanted != 0 {
      guard wanted >= step, wanted & (wanted - 1) == 0 else {
        throw .invalidBoundary(wanted, blockByteCount: step)
      }
    }
    page = max(step, 4096)
    window = wanted <= 0 || flaw == .ignoresBoundary ? page : min(wanted, page)
    perWindow = max(1, window / step)
    if flaw == .losesLastBlock, window % step == 0 { perWindow = max(1, perWindow - 1) }
    if flaw == .runsPastPage, wanted > page { perWindow = (page + step - 1) / step }
    perPage = flaw == .takesPagePerWindow ? perWindow : max(1, page / window) * perWindow
    if flaw == .overlapsBlocks, step > 1 { step -= step / 2 }
  }

  func block(_ index: Int, of page: Block) -> Block {
    let offset = index / perWindow * window + index % perWindow * step
    return Block(cpu: page.cpu + UInt(offset), bus: page.bus + UInt64(offset))
  }

  func index(at offset: Int) -> Int? {
    let (number, rest) = offset.quotientAndRemainder(dividingBy: window)
    guard rest % step == 0, rest / step < perWindow else { return nil }
    let index = number * perWindow + rest / step
    return index < perPage ? index : nil
  }
}
