"""The images of the modality emulator: valid objects of CT, MR, DX, MG and US with invented anatomy. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from interop.dicom.pdu import IMPLEMENTATION_CLASS_UID
from interop.dicom.phantom import chest_film, chest_slice, fan, mammogram
from interop.dicom.sr_content import code_item
from ris.core.concepts import Code
from ris.core.ids import new_uid

IMAGE_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
}
ULTRASOUND_CINE, CINE_FRAMES = "1.2.840.10008.5.1.4.1.1.3.1", 8
SOP_CLASSES = (*IMAGE_CLASSES.values(), ULTRASOUND_CINE)
#: What the series is called, (0018,0015), and the region's code (CID 4009)
REGIONS = {
    "CT": ("CTA chest", "CHEST", Code("816094009", "SCT", "Chest")),
    "MR": ("T1 SE axial", "CHEST", Code("816094009", "SCT", "Chest")),
    "DX": ("Chest", "CHEST", Code("816094009", "SCT", "Chest")),
    "MG": ("Screening", "BREAST", Code("76752008", "SCT", "Breast")),
    "US": ("Abdomen", "ABDOMEN", Code("818981001", "SCT", "Abdomen")),
}
#: View position, its code (CID 4010), patient orientation
FILMS = (
    ("PA", Code("272479007", "SCT", "postero-anterior"), ["L", "F"]),
    ("LL", Code("399173006", "SCT", "left lateral"), ["A", "F"]),
)
CC, MLO = Code("399162004", "SCT", "cranio-caudal"), Code("399368009", "SCT", "medio-lateral oblique")
#: Side, view position, its code (CID 4014), patient orientation
MAMMOGRAMS = (
    ("R", "CC", CC, ["P", "L"]),
    ("L", "CC", CC, ["A", "R"]),
    ("R", "MLO", MLO, ["P", "FL"]),
    ("L", "MLO", MLO, ["A", "FR"]),
)
SPACING, THICKNESS = 0.74, 1.25
#: mGy, of each mammogram
AGD = 1.4


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
    made.SeriesNumber, made.SeriesDescription = 2, REGIONS[modality][0]
    made.SeriesDate = made.AcquisitionDate = made.ContentDate = f"{taken_at:%Y%m%d}"
    made.SeriesTime, made.AcquisitionTime = f"{started_at:%H%M%S}", f"{taken_at:%H%M%S}"
    made.ContentTime = made.AcquisitionTime
    made.ProtocolName, made.BodyPartExamined, _code = REGIONS[modality]
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    {"CT": _ct, "MR": _mr, "DX": _film, "MG": _mammogram, "US": _ultrasound}[modality](made, number, count, size)
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
    made.Rows, made.Columns = pixels.shape[-2:]
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
    made.PatientPosition, made.PositionReferenceIndicator = "HFS", ""


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
    made.SpacingBetweenSlices, made.FlipAngle, made.NumberOfAverages = f"{THICKNESS * 8}", "90", "1"
    made.ImagedNucleus, made.ImagingFrequency, made.PixelBandwidth = "1H", "63.87", "130"
    units = chest_slice((number + 0.5) / count, size=size, contrast=False).astype(np.int32)
    signal = np.where(units < -150, 40, np.where(units < 0, 900, np.where(units < 200, 420, 120)))
    noise = np.random.default_rng(number).normal(0, 18, signal.shape)
    _pixels(made, np.abs(signal + noise).astype(np.uint16), stored_bits=12)


def _digital_x_ray(made: Dataset) -> None:
    """What DX and MG have in common (PS3.3 C.8.11)."""
    made.PresentationIntentType = "FOR PRESENTATION"
    made.PixelIntensityRelationship, made.PixelIntensityRelationshipSign = "LOG", -1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    made.PresentationLUTShape, made.LossyImageCompression, made.BurnedInAnnotation = "IDENTITY", "00", "NO"
    made.WindowCenter, made.WindowWidth, made.DetectorType = "2000", "4000", "DIRECT"
    made.AcquisitionContextSequence = []
    made.IrradiationEventUID = new_uid()
    made.AnatomicRegionSequence = [code_item(REGIONS[made.Modality][2])]


def _view(made: Dataset, position: str, code: Code, orientation: list[str]) -> None:
    item = code_item(code)
    item.ViewModifierCodeSequence = []
    made.ViewPosition, made.ViewCodeSequence, made.PatientOrientation = position, [item], orientation


def _film(made: Dataset, number: int, count: int, size: int) -> None:
    made.ImageType = ["ORIGINAL", "PRIMARY", ""]
    _digital_x_ray(made)
    _view(made, *FILMS[number % len(FILMS)])
    made.ImageLaterality = "U"
    made.ImagerPixelSpacing = ["0.7", "0.7"]
    made.KVP, made.XRayTubeCurrent, made.ExposureTime = "110", 250, 8
    made.Exposure, made.ExposureInuAs = 2, 2000
    made.ExposureIndex, made.TargetExposureIndex, made.DeviationIndex = "412", "400", "0.1"
    made.ImageAndFluoroscopyAreaDoseProduct = "0.9"
    made.DistanceSourceToDetector, made.Grid = "1800", "FIXED"
    _pixels(made, chest_film(size=size, seed=number), stored_bits=12)


def _mammogram(made: Dataset, number: int, count: int, size: int) -> None:
    side, position, code, orientation = MAMMOGRAMS[number % len(MAMMOGRAMS)]
    made.ImageType = ["ORIGINAL", "PRIMARY", ""]
    _digital_x_ray(made)
    _view(made, position, code, orientation)
    made.ImageLaterality, made.OrganExposed = side, "BREAST"
    made.ImagerPixelSpacing, made.EstimatedRadiographicMagnificationFactor = ["0.1", "0.1"], "1.07"
    made.KVP, made.XRayTubeCurrent, made.ExposureTime = "29", 100, 800
    made.Exposure, made.ExposureInuAs = 80, 80000
    made.AnodeTargetMaterial, made.FilterMaterial = "TUNGSTEN", "RHODIUM"
    made.CompressionForce, made.BodyPartThickness = "90", "52"
    made.OrganDose, made.EntranceDoseInmGy, made.RelativeXRayExposure = f"{AGD / 100:.4f}", "4.8", 1000
    made.PositionerType, made.PositionerPrimaryAngle = "MAMMOGRAPHIC", "0" if position == "CC" else "45"
    made.BreastImplantPresent, made.PartialView = "NO", "NO"
    made.DistanceSourceToDetector, made.DistanceSourceToPatient = "660", "640"
    _pixels(made, mammogram(size=size, seed=number, is_left=side == "L"), stored_bits=12)


def _ultrasound(made: Dataset, number: int, count: int, size: int) -> None:
    """The first object is a cine loop, all others are single frames."""
    made.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    made.LossyImageCompression, made.BurnedInAnnotation = "00", "NO"
    made.TransducerType, made.PatientOrientation = "CURVED LINEAR", ""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = size - 1, size - 1
    region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = 3, 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 16 / size
    made.SequenceOfUltrasoundRegions = [region]
    if number:
        _pixels(made, fan(size=size, seed=number), stored_bits=8)
        return
    made.SOPClassUID, made.NumberOfFrames = ULTRASOUND_CINE, CINE_FRAMES
    made.FrameTime, made.FrameIncrementPointer = "40", Tag("FrameTime")
    _pixels(made, np.stack([fan(size=size, seed=frame) for frame in range(CINE_FRAMES)]), stored_bits=8)
