/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound card whose play-back engine drives 32 address bits and whose recording engine, an ISA chip
 * behind a PCI face, drives 24. Each mask is tried; what the platform cannot serve is disabled with a
 * warning, and the narrowest mask is set last.
 *
 * pci_set_dma_mask returns zero for success: the sample of 2.4.4's document had the test inverted. */

#include "example.h"

struct my_sound_card {
  struct pci_dev *pdev;
  int playback_enabled;
  int record_enabled;
  void *buffer;
  dma_addr_t buffer_dma;
};

#define PLAYBACK_ADDRESS_BITS 0xffffffff
#define RECORD_ADDRESS_BITS 0x00ffffff
#define BUFFER_SIZE 65536

static struct my_sound_card *the_card;

static int sound_probe(struct pci_dev *pdev, const struct pci_device_id *id) {
  struct my_sound_card *card = kmalloc(sizeof(*card), GFP_KERNEL);
  (void)id;
  if (card == NULL) return -ENOMEM;
  memset(card, 0, sizeof(*card));
  card->pdev = pdev;
  if (pci_enable_device(pdev) != 0) {
    kfree(card);
    return -EIO;
  }
  pci_set_master(pdev);
  if (pci_set_dma_mask(pdev, PLAYBACK_ADDRESS_BITS) == 0) {
    card->playback_enabled = 1;
  } else {
    printk(KERN_WARNING "%s: Playback disabled due to DMA limitations.\n", pdev->slot_name);
  }
  if (pci_set_dma_mask(pdev, RECORD_ADDRESS_BITS) == 0) {
    card->record_enabled = 1;
  } else {
    printk(KERN_WARNING "%s: Record disabled due to DMA limitations.\n", pdev->slot_name);
  }
  if (card->playback_enabled || card->record_enabled) {
    card->buffer = pci_alloc_consistent(pdev, BUFFER_SIZE, &card->buffer_dma);
  }
  pci_set_drvdata(pdev, card);
  the_card = card;
  return 0;
}

/* As real drivers of the kind did it: 24 bits first, and 32 for play-back alone. */
static int sound_probe_narrow_first(struct pci_dev *pdev, const struct pci_device_id *id) {
  struct my_sound_card *card = kmalloc(sizeof(*card), GFP_KERNEL);
  (void)id;
  if (card == NULL) return -ENOMEM;
  memset(card, 0, sizeof(*card));
  card->pdev = pdev;
  pci_set_master(pdev);
  if (pci_set_dma_mask(pdev, RECORD_ADDRESS_BITS) == 0) {
    card->playback_enabled = card->record_enabled = 1;
  } else if (pci_set_dma_mask(pdev, PLAYBACK_ADDRESS_BITS) == 0) {
    printk(KERN_WARNING "%s: 24 bit addresses not supported, record disabled\n", pdev->slot_name);
    card->playback_enabled = 1;
  } else {
    printk(KERN_WARNING "%s: neither 24 nor 32 bit addresses\n", pdev->slot_name);
    kfree(card);
    return -ENODEV;
  }
  card->buffer = pci_alloc_consistent(pdev, BUFFER_SIZE, &card->buffer_dma);
  pci_set_drvdata(pdev, card);
  the_card = card;
  return 0;
}

static void sound_remove(struct pci_dev *pdev) {
  struct my_sound_card *card = pci_get_drvdata(pdev);
  if (card->buffer != NULL) {
    pci_free_consistent(pdev, BUFFER_SIZE, card->buffer, card->buffer_dma);
  }
  kfree(card);
  the_card = NULL;
}

static const struct pci_device_id sound_ids[] = {{PCI_DEVICE(0x1274, 0x1371)}, {0, 0, 0, 0, 0, 0, 0}};

static struct pci_driver sound_driver;

/* --- The machine around it --- */

static int warnings;
static void count_warnings(void *context, int level, const char *text) {
  (void)context;
  if (level <= 4) warnings++;
  fprintf(stderr, "%s", text);
}

static int run(int count, char **arguments, unsigned int flags, int is_narrow_first, int playback,
               int record, int expected_warnings) {
  struct swiftdma_machine *machine = example_machine(count, arguments, flags);
  struct swiftdma_model_options model;
  struct pci_dev *pdev;
  memset(&model, 0, sizeof(model));
  model.struct_size = sizeof(model);
  model.vendor = 0x1274;
  model.device = 0x1371;
  model.class_code = 0x040100;
  model.bar_size = 64;
  EXPECT(swiftdma_model_add(machine, &model, &pdev) == 0);
  warnings = 0;
  sound_driver.name = "sound";
  sound_driver.id_table = sound_ids;
  sound_driver.probe = is_narrow_first ? sound_probe_narrow_first : sound_probe;
  sound_driver.remove = sound_remove;
  int found = pci_module_init(&sound_driver);
  if (playback || record) {
    EXPECT(found == 0);
    EXPECT(the_card->playback_enabled == playback && the_card->record_enabled == record);
    EXPECT(pdev->dma_mask == (record ? RECORD_ADDRESS_BITS : PLAYBACK_ADDRESS_BITS));
    EXPECT(the_card->buffer != NULL);
    EXPECT(the_card->buffer_dma + BUFFER_SIZE - 1 <= pdev->dma_mask);
  } else if (found == 0) {
    EXPECT(!the_card->playback_enabled && !the_card->record_enabled);
  }
  EXPECT(warnings == expected_warnings);
  if (found == 0) pci_unregister_driver(&sound_driver);
  return example_end(machine);
}

int main(int count, char **arguments) {
  int is_translated = count > 1 && strncmp(arguments[1], "iommu", 5) == 0;
  int status = 0;
  swiftdma_set_log(count_warnings, NULL);
  for (int narrow = 0; narrow < 2; narrow++) {
    /* Everything there is. */
    status |= run(count, arguments, 0, narrow, 1, 1, 0);
    if (is_translated) continue;
    /* No memory that 24 bits reach. */
    status |= run(count, arguments, SWIFTDMA_NO_24BIT_ZONE, narrow, 1, 0, 1);
  }
  return status;
}
