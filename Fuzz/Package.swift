// swift-tools-version: 6.3

import PackageDescription

// Fuzz targets, in a package of their own so that users never build them. `Fuzz/run` runs them all.
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "swift-dma", path: "..", traits: [])],
  targets: [
    .executableTarget(
      name: "FuzzTrace", dependencies: [.product(name: "DMATrace", package: "swift-dma")])
  ]
)
