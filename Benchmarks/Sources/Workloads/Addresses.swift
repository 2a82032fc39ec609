import DMAMapping

/// Ranges that stay while one after the other is replaced.
let standingCount = 65536

private let mixedSizes: [UInt8] = [1, 2, 4, 8, 16, 32]

/// The last address of a 48-bit device.
private let lastAddress: UInt64 = 1 << 48 - 1

/// A space of addresses; a class because it cannot be copied into closures.
final class Space {
  let addresses: IOVASpace
  let held = UnsafeMutablePointer<UInt64>.allocate(capacity: standingCount)
  let sizes = UnsafeMutablePointer<UInt8>.allocate(capacity: standingCount)
  /// Made when it is used: that takes longer than to fill a space.
  lazy var order = shuffled(standingCount, seed: 4242)

  /// - Parameter size: pages of every range; nil for sizes of 1 to 32.
  init(size: UInt8? = 1, isCaching: Bool = true) {
    addresses = IOVASpace(last: lastAddress, isCaching: isCaching)
    for index in 0..<standingCount {
      sizes[index] = size ?? mixedSizes[index * 7 % mixedSizes.count]
    }
  }

  deinit {
    held.deallocate()
    sizes.deallocate()
  }
}

@inline(never)
func allocateAll(_ space: Space) {
  for index in 0..<standingCount {
    guard let address = space.addresses.allocate(pageCount: Int(space.sizes[index])) else {
      fail("no addresses left")
    }
    space.held[index] = address
  }
}

@inline(never)
func freeAllBackwards(_ space: Space) {
  for index in stride(from: standingCount - 1, through: 0, by: -1) {
    space.addresses.free(space.held[index], pageCount: Int(space.sizes[index]))
  }
}

@inline(never)
func freeAllInRandomOrder(_ space: Space) {
  let order = space.order
  for index in 0..<standingCount {
    let chosen = Int(order[index])
    space.addresses.free(space.held[chosen], pageCount: Int(space.sizes[chosen]))
  }
}

@inline(never)
func replaceAll(_ space: Space) {
  let order = space.order
  for index in 0..<standingCount {
    let chosen = Int(order[index])
    space.addresses.free(space.held[chosen], pageCount: Int(space.sizes[chosen]))
    guard let address = space.addresses.allocate(pageCount: Int(space.sizes[chosen])) else {
      fail("no addresses left")
    }
    space.held[chosen] = address
  }
}

@inline(never)
func allocateAndFree(_ space: Space, pageCount: Int, _ count: Int) {
  for _ in 0..<count {
    guard let address = space.addresses.allocate(pageCount: pageCount) else {
      fail("no addresses left")
    }
    space.addresses.free(address, pageCount: pageCount)
  }
}

@MainActor let addressWorkloads: [Workload] = [
  Workload(name: "iova-ping-pong-1") {
    let space = Space()
    return { allocateAndFree(space, pageCount: 1, $0) }
  },
  Workload(name: "iova-ping-pong-64") {
    let space = Space()
    return { allocateAndFree(space, pageCount: 64, $0) }
  },
  Workload(name: "iova-replace-mixed", unit: standingCount) {
    let space = Space(size: nil)
    allocateAll(space)
    return { count in for _ in 0..<(count / standingCount) { replaceAll(space) } }
  },
  Workload(name: "iova-first-fill", unit: standingCount) {
    { count in
      for _ in 0..<(count / standingCount) {
        let space = Space()
        allocateAll(space)
        freeAllBackwards(space)
      }
    }
  },
  Workload(name: "iova-tree-random", unit: standingCount) {
    let space = Space(isCaching: false)
    return { count in
      for _ in 0..<(count / standingCount) {
        allocateAll(space)
        freeAllInRandomOrder(space)
      }
    }
  },
]

@MainActor let threadedAddressWorkloads = [
  ThreadedWorkload(name: "iova-two-threads-1") {
    let space = Space()
    return { _, count in allocateAndFree(space, pageCount: 1, count) }
  }
]
