"""Report templates as HTML5 documents: IHE RAD, Management of Radiology Report Templates (MRRT)."""
