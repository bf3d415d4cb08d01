"""A dossier: what the records say of one version, as one file for an auditor; equal records give equal bytes.

- `archive`: the file itself, packed and read without extracting it; `manifest`: the digest of each file in it, and of
  the whole;
- `records`: rows of the lake as they were known at a moment; `documents`: what the training run logged; `sources`: the
  use case's own files as they were at training; `lineage`: the data; `history`: decisions and production;
  `bill_of_materials`: the packages, in CycloneDX's form;
- `contents`: all of that together; `index`: the page that a person reads first;
- `writing` and `verifying`: what the command does.
"""
