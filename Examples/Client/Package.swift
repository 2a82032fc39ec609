// swift-tools-version: 6.3

// A package that depends on swift-dma the way a stranger would. Speed and disassembly checks read
// the code generated here, in release.

import PackageDescription

let package = Package(
  name: "Client",
  dependencies: [
    .package(name: "swift-dma", path: "../..", traits: [])
  ],
  targets: [
    .executableTarget(
      name: "Client",
      dependencies: [
        .product(name: "DMA", package: "swift-dma"),
        .product(name: "DMAChecker", package: "swift-dma"),
        .product(name: "DMAMapping", package: "swift-dma"),
        .product(name: "SimulatedMachine", package: "swift-dma"),
      ])
  ]
)
