internal import CPCIDMA
internal import DMA
internal import SimulatedMachine

/// The memory that kmalloc and its kin gave out on a machine, by address.
@safe
final class KernelMemory {
  /// One allocation.
  @safe
  struct Piece: BitwiseCopyable {
    enum Kind: UInt8 { case object, pages, virtual }
    var kind: Kind
    var byteCount: Int
    /// Where the value of an object of a simulated machine lies.
    var owner: UnsafeMutablePointer<SimulatedMemory>?
    var physicalAddress: UInt64 = 0
  }

  private let backing: MachineBacking
  private let lock = RawSpinLock()
  private var pieces = AddressTable<Piece>()

  /// What plain requests prefer: without anything that copies or translates, memory that 32 bits
  /// reach, as the kernel's low memory is.
  private let preferred: UInt64

  init(_ backing: MachineBacking, isDirect: Bool) {
    self.backing = backing
    preferred = isDirect ? 0xffff_ffff : .max
  }

  private func keep(_ address: UInt, _ piece: Piece) -> UInt {
    lock.withLock { _ = pieces.insert(piece, for: UInt64(address)) }
    return address
  }

  /// Bytes that may be mapped by their address; 0, and a reason, when there are none.
  func allocate(_ byteCount: Int, flags: Int32) -> UInt {
    guard byteCount > 0 else {
      fail(Errno.invalid)
      return 0
    }
    // More than any machine has.
    guard byteCount <= 1 << 44 else {
      fail(Errno.noMemory)
      return 0
    }
    let limit = limit(flags)
    let address = allocate(byteCount, limit: limit)
    return address == 0 && limit == preferred && limit != .max
      ? allocate(byteCount, limit: .max) : address
  }

  /// 24 bits of address, where they are asked for.
  private func limit(_ flags: Int32) -> UInt64 {
    flags & Int32(__GFP_DMA) != 0 ? 0xff_ffff : preferred
  }

  private func allocate(_ byteCount: Int, limit: UInt64) -> UInt {
    guard let machine = backing.simulated, byteCount <= 2048 else {
      return allocatePages((byteCount + 4095) / 4096 * 4096, 4096, limit, .object, byteCount)
    }
    do throws(DMAError) {
      return own(try machine.allocateObject(byteCount: byteCount, limit: limit), .object)
    } catch {
      fail(error)
      return 0
    }
  }

  private func own(_ memory: consuming SimulatedMemory, _ kind: Piece.Kind) -> UInt {
    let address = memory.address
    let byteCount = memory.byteCount
    let owner = UnsafeMutablePointer<SimulatedMemory>.allocate(capacity: 1)
    unsafe owner.initialize(to: memory)
    return unsafe keep(address, Piece(kind: kind, byteCount: byteCount, owner: owner))
  }

  /// Pages of the page allocator, aligned to their order.
  func allocatePages(order: UInt, flags: Int32) -> UInt {
    // 2.4 has orders below 10; a page more costs nothing.
    guard order <= 10 else {
      fail(Errno.tooBig)
      return 0
    }
    let byteCount = 4096 << Int(order)
    let limit = limit(flags)
    let address = allocatePages(byteCount, byteCount, limit, .pages, byteCount)
    return address == 0 && limit == preferred && limit != .max
      ? allocatePages(byteCount, byteCount, .max, .pages, byteCount) : address
  }

  private func allocatePages(
    _ allocated: Int, _ alignment: Int, _ limit: UInt64, _ kind: Piece.Kind, _ byteCount: Int
  ) -> UInt {
    let core = unsafe backing.platform.unsafeCore
    var numbers = DMAStatusNumbers()
    // SAFETY: the platform's own function with its own context; room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe core.pointee.operations.allocatePages(
        core.pointee.context, allocated, alignment, limit, 0, pointer)
    }
    guard status == .success else {
      fail(DMAError(status: status, numbers: numbers))
      return 0
    }
    return unsafe keep(
      UInt(truncatingIfNeeded: numbers.first),
      Piece(
        kind: kind, byteCount: kind == .pages ? byteCount : allocated, owner: nil,
        physicalAddress: numbers.second))
  }

  /// Virtually contiguous memory; 0 when there is none, or no such memory on this machine.
  func allocateVirtual(_ byteCount: Int) -> UInt {
    guard let machine = backing.simulated else {
      fail(Errno.notSupported)
      return 0
    }
    do throws(DMAError) {
      return own(try machine.allocateVirtual(byteCount: byteCount), .virtual)
    } catch {
      fail(error)
      return 0
    }
  }

  /// Takes a piece out of the books, if it was allocated so.
  func take(_ address: UInt, _ kind: Piece.Kind, byteCount: Int? = nil) -> Piece? {
    lock.withLock {
      guard let piece = pieces[UInt64(address)], piece.kind == kind,
        byteCount == nil || byteCount == piece.byteCount
      else { return nil }
      pieces.remove(UInt64(address))
      return piece
    }
  }

  /// How many bytes a live piece has; nil when nothing begins there.
  func byteCount(_ address: UInt) -> Int? {
    lock.withLock { pieces[UInt64(address)]?.byteCount }
  }

  /// Gives a piece's memory back.
  func free(_ address: UInt, _ piece: Piece) {
    if let owner = unsafe piece.owner {
      // SAFETY: made in `own`, and taken out of the books by the caller.
      unsafe owner.deinitialize(count: 1)
      unsafe owner.deallocate()
      return
    }
    let core = unsafe backing.platform.unsafeCore
    // SAFETY: exactly what was allocated.
    unsafe core.pointee.operations.freePages(
      core.pointee.context, address, piece.physicalAddress, piece.byteCount, 0)
  }

  /// Frees everything.
  func end() {
    var all: [(UInt, Piece)] = []
    lock.withLock {
      pieces.forEach { address, piece in all.append((UInt(address), piece)) }
      pieces = AddressTable()
    }
    for (address, piece) in all { free(address, piece) }
  }
}

// MARK: The calls

/// The current machine's memory; nil, and a reason, when there is no machine.
private func currentMachine() -> MachineBox? {
  guard let machine = Registry.shared.current else {
    fail(Errno.noDevice)
    return nil
  }
  return machine
}

@c @implementation
public func swiftdma_memory_allocate(_ size: Int, _ flags: Int32) -> UnsafeMutableRawPointer? {
  unsafe UnsafeMutableRawPointer(
    bitPattern: currentMachine()?.memory.allocate(size, flags: flags) ?? 0)
}

/// Frees what one kind of call allocated; a wrong address is refused and reported.
private func release(
  _ address: UInt, _ kind: KernelMemory.Piece.Kind, byteCount: Int?, _ function: String
) {
  guard let machine = currentMachine() else { return }
  let nowhere = unsafe CallSite(file: nil, fileByteCount: 0, line: 0)
  guard let size = machine.memory.byteCount(address) else {
    fail(Errno.invalid)
    machine.report(
      "free-of-unknown", "-", nowhere,
      "\(function) was given an address that it never returned, or that is free already")
    return
  }
  machine.checker?.willFree(address, size)
  guard let piece = machine.memory.take(address, kind, byteCount: byteCount) else {
    fail(Errno.invalid)
    machine.report(
      "free-with-wrong-function", "-", nowhere,
      "\(function) was given memory of another kind or size (\(size) bytes)")
    return
  }
  machine.memory.free(address, piece)
}

@c @implementation
public func swiftdma_memory_free(
  _ memory: UnsafeRawPointer?, _ function: UnsafePointer<CChar>?
) {
  unsafe release(
    UInt(bitPattern: memory), .object, byteCount: nil,
    function.map { unsafe text($0, limit: 40) } ?? "")
}

@c @implementation
public func swiftdma_pages_allocate(_ flags: Int32, _ order: UInt, _ isZeroed: Int32) -> UInt {
  // Fresh pages are always zero.
  currentMachine()?.memory.allocatePages(order: order, flags: flags) ?? 0
}

@c @implementation
public func swiftdma_pages_free(_ address: UInt, _ order: UInt) {
  let size = order <= 10 ? 4096 << Int(order) : 0
  release(address, .pages, byteCount: size, "free_pages")
}

@c @implementation
public func swiftdma_virtual_allocate(_ size: UInt) -> UnsafeMutableRawPointer? {
  guard let size = Int(exactly: size) else {
    fail(Errno.noMemory)
    return nil
  }
  return unsafe UnsafeMutableRawPointer(
    bitPattern: currentMachine()?.memory.allocateVirtual(size) ?? 0)
}

@c @implementation
public func swiftdma_virtual_free(_ memory: UnsafeRawPointer?) {
  release(UInt(bitPattern: memory), .virtual, byteCount: nil, "vfree")
}

@c @implementation
public func swiftdma_virtual_page(_ address: UInt) -> UInt {
  guard let machine = currentMachine()?.backing.simulated else { return 0 }
  do throws(DMAError) {
    return try machine.walk(address & ~4095, byteCount: 4096).first?.cpuAddress ?? 0
  } catch {
    fail(error)
    return 0
  }
}

@c @implementation
public func swiftdma_virtual_walk(
  _ address: UInt, _ size: Int, _ addresses: UnsafeMutablePointer<UInt>?,
  _ sizes: UnsafeMutablePointer<Int>?, _ count: Int32
) -> Int32 {
  guard let addresses = unsafe addresses, let sizes = unsafe sizes else {
    return fail(Errno.invalid)
  }
  guard let machine = currentMachine()?.backing.simulated else { return fail(Errno.notSupported) }
  do throws(DMAError) {
    let found = try machine.walk(address, byteCount: size)
    guard found.count <= Int(count) else { return fail(Errno.noSpace) }
    for index in 0..<found.count {
      unsafe addresses[index] = found[index].cpuAddress
      unsafe sizes[index] = found[index].byteCount
    }
    return Int32(found.count)
  } catch { return fail(error) }
}
