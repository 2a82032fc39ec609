import DMA
import Testing

@testable import DMATrace

/// One case of deliberate misuse, and the finding it must give.
struct MisuseCase: CustomTestStringConvertible, Sendable {
  var name: String
  var mode: String
  var kernel: String
  var testDescription: String { "\(name) \(mode) \(kernel)" }
  var path: String { "\(SharedTraces.root ?? "")/bugs/\(name)/\(mode).\(kernel).txt" }

  /// The rule, or nil where the events cannot show anything.
  var expected: Rule? {
    let hasSyncs = kernel == "dmadebug" || mode == "swiotlb"
    return switch name {
    case "leak_single", "coherent_leak", "pool_busy": .leak
    case "double_unmap": .doubleRelease
    case "unmap_size", "coherent_size": .sizeDiffers
    case "unmap_dir": .directionDiffers
    case "sync_outside": hasSyncs ? .syncOutside : nil
    case "sync_after_unmap": hasSyncs ? .syncAfterRelease : nil
    case "single_as_sg": .wrongFunction
    case "sg_unmap_ents": mode == "vtd" ? .entryCountDiffers : nil
    case "overlap_cacheline": .overlappingCacheLine
    case "ignored_error": .invalidAddress
    case "wrong_device": .wrongDevice
    case "skip_sync": mode == "swiotlb" ? .neverSynced : nil
    default: nil
    }
  }

  static let names = [
    "clean", "attrs", "bigsg", "hugesg", "overlap_readonly", "alloc_fail", "leak_single",
    "double_unmap", "unmap_size", "unmap_dir", "sync_outside", "sync_after_unmap", "single_as_sg",
    "sg_unmap_ents", "overlap_cacheline", "coherent_size", "coherent_leak", "pool_busy",
    "kernel_text", "no_error_check", "ignored_error", "wrong_device", "stack_single",
    "dev_after_unmap", "skip_sync",
  ]

  static var all: [MisuseCase] {
    names.flatMap { name in
      ["direct", "vtd", "swiotlb"].flatMap { mode in
        ["stock", "dmadebug"].map { MisuseCase(name: name, mode: mode, kernel: $0) }
      }
    }
  }
}

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct MisuseTests {
  @Test(arguments: MisuseCase.all)
  func `the matching rule and line are found, and nothing else`(_ misuse: MisuseCase) throws {
    let (report, context) = try TraceCheck.check(misuse.path)
    let found = report.findings.map(\.rule)
    #expect(found == (misuse.expected.map { [$0] } ?? []), "\(report.findings.map(\.line))")
    guard let finding = report.findings.first, misuse.expected != nil else { return }
    let device = misuse.name == "wrong_device" ? "0000:00:02.0" : "0000:00:01.0"
    #expect(context.devices.name(finding.device) == device)
    let lines = try SharedTraces.text(misuse.path).split(
      separator: "\n", omittingEmptySubsequences: false)
    let line = String(lines[Int(finding.line) - 1])
    #expect(line.contains(Self.evidence(misuse)), "\(line)")
    if misuse.name == "wrong_device" {
      #expect(finding.consequences.map(\.rule) == [.leak])
      #expect(context.devices.name(finding.otherDevice) == "0000:00:01.0")
    }
    if let mapping = finding.mapping {
      let mapped = String(lines[Int(mapping.origin.line) - 1])
      #expect(mapped.contains("dma_map") || mapped.contains("dma_alloc"))
      #expect(mapped.contains(String(mapping.dmaAddress, radix: 16)))
    } else {
      #expect(misuse.name == "ignored_error")
    }
  }

  /// What stands in the culprit's line (for a leak: in the mapping's).
  private static func evidence(_ misuse: MisuseCase) -> String {
    switch misuse.name {
    case "leak_single": "dma_map_page: 0000:00:01.0 dir=FROM_DEVICE"
    case "coherent_leak": "size=12288"
    case "pool_busy": "dma_alloc: 0000:00:01.0"
    case "double_unmap": "size=1500"
    case "unmap_size": "size=1024 attrs"
    case "unmap_dir": "dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE"
    case "sync_outside", "sync_after_unmap": "size=1024"
    case "single_as_sg", "sg_unmap_ents": "dma_unmap_sg"
    case "overlap_cacheline": "size=32"
    case "coherent_size": "dma_free: 0000:00:01.0"
    case "ignored_error": "dma_addr=ffffffffffffffff"
    case "wrong_device": "dma_unmap_page: 0000:00:02.0"
    case "skip_sync": "SKIP_CPU_SYNC"
    default: ""
    }
  }

  @Test(arguments: [
    "direct.stock", "direct.dmadebug", "vtd.stock", "vtd.dmadebug",
    "swiotlb.stock", "swiotlb.dmadebug",
  ])
  func `kernel code that was mapped is found with the machine's iomem`(_ mode: String) throws {
    let root = try #require(SharedTraces.root)
    for (name, expected) in [("kernel_text", [Rule.kernelImage]), ("clean", [])] {
      var options = CheckOptions()
      options.limits.add(try SharedTraces.text("\(root)/bugs/machine.\(mode).facts.txt"))
      let (report, _) = try TraceCheck.check("\(root)/bugs/\(name)/\(mode).txt", options: options)
      #expect(report.findings.map(\.rule) == expected)
    }
  }
}
