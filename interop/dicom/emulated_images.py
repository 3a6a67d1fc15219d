"""The images of the modality emulator: valid objects of CT, MR, DX, MG and US with invented anatomy. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.pdu import IMPLEMENTATION_CLASS_UID
from interop.dicom.phantom import chest_film, chest_slice
from ris.core.ids import new_uid

IMAGE_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
}
SPACING, THICKNESS = 0.74, 1.25


def patient_and_study(item: Dataset, started_at: datetime) -> Dataset:
    """Patient and study attributes of an object, from a worklist item."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.TimezoneOffsetFromUTC = f"{started_at:%z}"
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"):
        setattr(made, keyword, item.get(keyword, ""))
    if item.get("IssuerOfPatientID"):
        made.IssuerOfPatientID = item.IssuerOfPatientID
    made.StudyInstanceUID = item.StudyInstanceUID
    made.StudyDate, made.StudyTime = f"{started_at:%Y%m%d}", f"{started_at:%H%M%S}"
    made.StudyID = str(item.get("RequestedProcedureID", ""))
    made.StudyDescription = str(item.get("RequestedProcedureDescription", ""))[:64]
    made.ReferringPhysicianName = item.get("ReferringPhysicianName", "")
    return made


def equipment(station: str, modality: str) -> Dataset:
    made = Dataset()
    made.Manufacturer, made.ManufacturerModelName = "Picha", f"Emulated {modality}"
    made.StationName, made.DeviceSerialNumber = station, "000001"
    made.SoftwareVersions = "1"
    return made


def image(
    item: Dataset, *, modality: str, station: str, started_at: datetime, number: int, count: int, size: int = 512
) -> Dataset:
    """Image ``number`` (from 0) of ``count``, ready to be sent. Series and frame of reference UIDs are the caller's."""
    made = patient_and_study(item, started_at)
    made.update(equipment(station, modality))
    taken_at = started_at + timedelta(seconds=number)
    made.SOPClassUID, made.SOPInstanceUID = IMAGE_CLASSES[modality], new_uid()
    made.Modality, made.InstanceNumber = modality, number + 1
    made.SeriesNumber, made.SeriesDescription = 2, "Chest"
    made.SeriesDate = made.AcquisitionDate = made.ContentDate = f"{taken_at:%Y%m%d}"
    made.SeriesTime, made.AcquisitionTime = f"{started_at:%H%M%S}", f"{taken_at:%H%M%S}"
    made.ContentTime = made.AcquisitionTime
    made.ProtocolName, made.BodyPartExamined, made.PatientPosition = "Chest", "CHEST", "HFS"
    made.PositionReferenceIndicator = ""
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.Laterality = ""
    {"CT": _ct, "MR": _mr, "DX": _film, "MG": _film, "US": _ultrasound}[modality](made, number, count, size)
    return with_file_meta(made)


def with_file_meta(made: Dataset) -> Dataset:
    """Ready to be sent or saved, in explicit VR little endian."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    return made


def _pixels(made: Dataset, pixels: np.ndarray, *, stored_bits: int, signed: bool = False) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored, made.HighBit = stored_bits, stored_bits - 1
    made.PixelRepresentation = int(signed)
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"


def _plane(made: Dataset, number: int, size: int) -> None:
    spacing = SPACING * 512 / size
    half = spacing * size / 2
    made.PixelSpacing = [f"{spacing:.4f}", f"{spacing:.4f}"]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient = [f"{-half:.2f}", f"{-half:.2f}", f"{-number * THICKNESS * 8:.2f}"]
    made.SliceLocation = f"{-number * THICKNESS * 8:.2f}"
    made.SliceThickness = f"{THICKNESS}"


def _ct(made: Dataset, number: int, count: int, size: int) -> None:
    _plane(made, number, size)
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "-1024", "1", "HU"
    made.WindowCenter, made.WindowWidth = "40", "400"
    made.KVP, made.AcquisitionNumber = "120", 1
    made.XRayTubeCurrent, made.ExposureTime, made.ConvolutionKernel = 210, 500, "STANDARD"
    made.GantryDetectorTilt, made.TableHeight = "0", "140"
    units = chest_slice((number + 0.5) / count, size=size)
    _pixels(made, (units.astype(np.int32) + 1024).astype(np.uint16), stored_bits=12)


def _mr(made: Dataset, number: int, count: int, size: int) -> None:
    _plane(made, number, size)
    made.ScanningSequence, made.SequenceVariant, made.ScanOptions = "SE", "NONE", ""
    made.MRAcquisitionType, made.RepetitionTime, made.EchoTime = "2D", "500", "15"
    made.EchoTrainLength, made.MagneticFieldStrength = 1, "1.5"
    units = chest_slice((number + 0.5) / count, size=size, contrast=False).astype(np.int32)
    signal = np.where(units < -150, 40, np.where(units < 0, 900, np.where(units < 200, 420, 120)))
    _pixels(made, signal.astype(np.uint16), stored_bits=12)


def _film(made: Dataset, number: int, count: int, size: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", ""]
    made.PresentationIntentType, made.ViewPosition = "FOR PRESENTATION", "PA"
    made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign = "LOG", -1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    made.PresentationLUTShape, made.LossyImageCompression = "IDENTITY", "00"
    made.BurnedInAnnotation, made.ImageLaterality = "NO", "U"
    made.ImagerPixelSpacing = ["0.7", "0.7"]
    made.WindowCenter, made.WindowWidth = "2000", "4000"
    made.DetectorType, made.PatientOrientation = "DIRECT", ["L", "F"]
    made.AnatomicRegionSequence = []
    made.KVP = "110"
    _pixels(made, chest_film(size=size, seed=number), stored_bits=12)


def _ultrasound(made: Dataset, number: int, count: int, size: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    made.LossyImageCompression = "00"
    y, x = np.mgrid[0 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    distance, angle = np.hypot(x, y), np.arctan2(x, y + 1e-6)
    speckle = np.random.default_rng(number).rayleigh(38, (size, size)).astype(np.float32)
    echo = speckle * (1.3 - distance) + 90 * (np.abs(distance - 0.55) < 0.02)
    echo = np.where((np.hypot(x - 0.1, y - 0.45) < 0.12), 6, echo)
    fan = (np.abs(angle) < 0.62) & (distance > 0.08) & (distance < 0.98)
    _pixels(made, np.clip(np.where(fan, echo, 0), 0, 255).astype(np.uint8), stored_bits=8)
