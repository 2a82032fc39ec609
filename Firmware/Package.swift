// swift-tools-version: 6.3

// Programs that run with no operating system. Build one with a board's toolset, see README.md:
//
//   swift build --build-system native --triple aarch64-none-none-elf \
//     --toolset Boards/aarch64-virt/toolset.json -c release --product Firmware

import PackageDescription

let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableExperimentalFeature("Lifetimes"),
]

/// The folders of Boards/.
let boards = ["aarch64-virt", "riscv64-sbi", "riscv64-virt", "x86_64-pc", "x86_64-q35"]

func library(_ name: String) -> Target.Dependency {
  .product(name: name, package: "swift-dma")
}

let package = Package(
  name: "swift-dma-firmware",
  dependencies: [
    // A link to the folder above: a package is called after its path's last part, and a checkout
    // may have any name, this folder's for one. No traits: the command's dependencies are not
    // even fetched.
    .package(path: "swift-dma", traits: [])
  ],
  targets: [
    // What only a board knows before it is described: one folder each.
    .target(
      name: "Boards", path: "Boards",
      exclude: boards.flatMap { board in
        ["toolset.json", "link.ld", "board.conf"].map { "\(board)/\($0)" }
      }),
    // From the first instruction to main(), by CPU architecture.
    .target(name: "Startup", dependencies: ["Boards"]),
    // Clock, cache maintenance, I/O ports: inline instructions.
    .target(name: "CPU"),
    // Heap, memory functions, console, traps.
    .target(name: "Runtime", dependencies: ["Boards", "CPU"]),
    // The machine that DMA and PCI see.
    .target(
      name: "BareMetal",
      dependencies: [
        library("DMA"), library("DMAMapping"), library("PCI"), library("DeviceTree"),
        library("ACPI"), "Boards", "CPU", "Runtime", "Startup",
      ], swiftSettings: settings),
    // Boots, moves files, prints a table of checks.
    .executableTarget(
      name: "Firmware",
      dependencies: [
        library("DMA"), library("DMAMapping"), library("DMAChecker"), library("PCI"),
        library("Drivers"), library("DeviceTree"), library("ACPI"), "BareMetal",
      ], swiftSettings: settings),
    // Every public name of the library, with no support code in its own objects.
    .target(
      name: "WholeAPI", dependencies: [library("DMA"), library("DMAMapping"), library("PCI")],
      swiftSettings: settings),
    .executableTarget(
      name: "WholeAPIProgram", dependencies: [library("DMA"), "BareMetal", "WholeAPI"],
      swiftSettings: settings),
  ]
)
