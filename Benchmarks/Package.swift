// swift-tools-version: 6.3

// What swift-dma costs, from the outside: a package that uses the public API as a stranger would, and
// a command that runs it in turn with what it is compared with. README.md tells how.

import PackageDescription

let settings: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "swift-dma", path: "..", traits: [])],
  targets: [
    .target(name: "CTiming"),
    .executableTarget(
      name: "Workloads",
      dependencies: [
        "CTiming",
        .product(name: "DMA", package: "swift-dma"),
        .product(name: "DMAChecker", package: "swift-dma"),
        .product(name: "DMAMapping", package: "swift-dma"),
        .product(name: "SimulatedMachine", package: "swift-dma"),
      ],
      swiftSettings: settings),
    // The C interface's pool, as a C program gets it.
    .executableTarget(
      name: "CheckedPool",
      dependencies: ["CTiming", .product(name: "PCIDMA", package: "swift-dma")],
      cSettings: [.headerSearchPath("../../Peers")]),
    .executableTarget(name: "Compare", dependencies: ["CTiming"], swiftSettings: settings),
  ]
)
