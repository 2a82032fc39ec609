#if CLI
  import ArgumentParser
  internal import PCI
  internal import VFIOMachine

  /// `dmatool devices`: this host's PCI functions, as DMA sees them.
  struct DevicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "devices",
      abstract: "Lists this host's PCI devices: class, driver, IOMMU group, masks, BARs.",
      discussion: "Needs no privileges. Exit code: 0 done, 2 bad input.")

    @Option(help: "How to write the list.")
    var format: OutputFormat = .text

    @Option(
      help: ArgumentHelp("Read files below this folder instead of the host's.", visibility: .hidden)
    )
    var root = ""

    func run() {
      let records = PCIFunctionRecord.all(in: SysfsTree(root: root))
      switch format {
      case .text:
        guard !records.isEmpty else { return print("This host shows no PCI devices.") }
        for record in records { print(Self.text(record)) }
      case .json: print("[" + records.map(Self.json).joined(separator: ",\n ") + "]")
      }
    }

    private static func hex(_ value: UInt64, _ digits: Int) -> String {
      let text = String(value, radix: 16)
      return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }

    private static func kind(_ record: PCIFunctionRecord) -> String {
      record.className ?? "class " + hex(UInt64(record.classCode), 6)
    }

    private static func text(_ record: PCIFunctionRecord) -> String {
      var lines = [
        "\(record.address)  \(hex(UInt64(record.vendorID), 4)):\(hex(UInt64(record.deviceID), 4))"
          + "  \(kind(record))"
      ]
      lines.append(
        "    driver \(record.driver ?? "none"), "
          + (record.group.map { "group \($0)" } ?? "no IOMMU group")
          + (record.maskBitCount.map { ", mask \($0) bits" } ?? "")
          + (record.consistentMaskBitCount.map { ", consistent \($0) bits" } ?? ""))
      for bar in record.bars {
        lines.append(
          "    BAR \(bar.index)  \(ByteSize(bar.byteCount)) \(bar.isMemory ? "memory" : "ports")"
            + " at 0x\(hex(bar.start, 1))\(bar.isPrefetchable ? ", prefetchable" : "")")
      }
      return lines.joined(separator: "\n")
    }

    private static func json(_ record: PCIFunctionRecord) -> String {
      let bars = record.bars.map { bar in
        "{\"index\":\(bar.index),\"start\":\(bar.start),\"bytes\":\(bar.byteCount),"
          + "\"memory\":\(bar.isMemory),\"prefetchable\":\(bar.isPrefetchable)}"
      }
      return "{\"address\":\"\(record.address)\",\"vendor\":\(record.vendorID),"
        + "\"device\":\(record.deviceID),\"class\":\(record.classCode),"
        + "\"driver\":\(record.driver.map(Output.quoted) ?? "null"),"
        + "\"group\":\(record.group.map(String.init) ?? "null"),"
        + "\"mask_bits\":\(record.maskBitCount.map(String.init) ?? "null"),"
        + "\"consistent_mask_bits\":\(record.consistentMaskBitCount.map(String.init) ?? "null"),"
        + "\"bars\":[\(bars.joined(separator: ","))]}"
    }
  }
#endif
