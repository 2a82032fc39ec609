#if arch(arm64) || arch(riscv64)
  import Boards
  import CPU
  public import DeviceTree
  import Runtime
  import Startup

  extension MachineDescription {
    /// What the loader's device tree says.
    public static func fromLoader() throws(MachineError) -> MachineDescription {
      let address = board_description(startup_argument())
      // The header first: it says how long the rest is.
      guard address != 0, address_space_map(UInt64(address), 8, ADDRESS_MEMORY) != 0,
        let start = unsafe UnsafeRawPointer(bitPattern: address)
      else { throw .noDescription(at: address) }
      // SAFETY: the loader's protocol; only the magic and the length are read yet.
      let header = unsafe UnsafeRawBufferPointer(start: start, count: 8)
      guard let byteCount = unsafe DeviceTree.byteCount(unsafeHeader: header),
        address_space_map(UInt64(address), UInt64(byteCount), ADDRESS_MEMORY) != 0
      else { throw .noDescription(at: address) }
      let tree: DeviceTree
      // SAFETY: the tree's memory is reserved below: nobody changes it.
      do throws(DeviceTreeError) {
        tree = try unsafe DeviceTree(
          unsafeBytes: UnsafeRawBufferPointer(start: start, count: byteCount))
      } catch { throw .deviceTree(error) }
      var description = MachineDescription(tree)
      description.reserved.append(
        MemoryRange(start: UInt64(address), byteCount: UInt64(byteCount)))
      guard !description.memory.isEmpty else { throw .noMemory }
      guard description.ticksPerSecond != 0 else { throw .noClock }
      return description
    }

    init(_ tree: DeviceTree) {
      self.init()
      tree.forEachReservation { range in
        reserved.append(range)
        return true
      }
      tree.forEachNode { node in
        if node.property("device_type")?.contains("memory") ?? false, node.isEnabled {
          Self.appendRegisters(of: node, to: &memory)
        }
        return true
      }
      appendReservedNodes(tree)
      describeInitialFile(tree)
      if let host = PCIHostDescription(tree) {
        pci = .memory(host)
        isCoherent = host.isCoherent
      }
      if let node = tree.node(compatibleWith: "qemu,fw-cfg-mmio"), let range = node.registers() {
        firmwareConfiguration = .memory(range.start)
      }
      ticksPerSecond = cpu_ticks_per_second()
      cacheLineByteCount = cpu_cache_line_size()
      describeRISCV(tree)
      selectConsole(tree)
    }

    private static func appendRegisters(of node: DeviceTreeNode, to list: inout [MemoryRange]) {
      var index = 0
      while let range = node.registers(index) {
        let wraps = range.start.addingReportingOverflow(range.byteCount).overflow
        if range.byteCount > 0, !wraps { list.append(range) }
        index += 1
      }
    }

    /// The children of /reserved-memory with a fixed place (3.5 of the specification).
    private mutating func appendReservedNodes(_ tree: DeviceTree) {
      tree.forEachNode { node in
        if node.isInReservedMemory { Self.appendRegisters(of: node, to: &reserved) }
        return true
      }
    }

    /// /chosen says where the loader put the initrd: one or two words each.
    private mutating func describeInitialFile(_ tree: DeviceTree) {
      tree.forEachNode { node in
        guard node.isNamed("chosen"), let start = node.property("linux,initrd-start"),
          let end = node.property("linux,initrd-end"),
          let first = start.number(word: 0, cells: start.byteCount / 4),
          let last = end.number(word: 0, cells: end.byteCount / 4), first < last
        else { return true }
        let range = MemoryRange(start: first, byteCount: last - first)
        initialFile = range
        reserved.append(range)
        return false
      }
    }

    private mutating func describeRISCV(_ tree: DeviceTree) {
      #if arch(riscv64)
        tree.forEachNode { node in
          if let frequency = node.property("timebase-frequency")?.word(0) {
            ticksPerSecond = UInt64(frequency)
          }
          // Zicbom: cache-block management by address.
          if let block = node.property("riscv,cbom-block-size")?.word(0) {
            cacheLineByteCount = Int(block)
          }
          return true
        }
        // PCI of riscv machines without the property: the privileged specification's default for
        // memory is coherent, and trees mark buses that are not ("dma-noncoherent").
        isCoherent = true
        tree.forEachNode { node in
          guard node.property("dma-noncoherent") == nil else {
            isCoherent = false
            return false
          }
          return true
        }
      #endif
    }

    private func selectConsole(_ tree: DeviceTree) {
      if let range = tree.node(compatibleWith: "arm,pl011")?.registers(),
        address_space_map(range.start, range.byteCount, ADDRESS_DEVICE) != 0
      {
        console_select(CONSOLE_PL011, UInt(range.start))
      } else if let node = tree.node(compatibleWith: "ns16550a"), let range = node.registers(),
        // Wider register spacing is another kind of port.
        node.property("reg-shift")?.word(0) ?? 0 == 0,
        address_space_map(range.start, range.byteCount, ADDRESS_DEVICE) != 0
      {
        console_select(CONSOLE_NS16550_MEMORY, UInt(range.start))
      }
    }
  }
#endif
