"""Objects without their patient, after the Basic Application Level Confidentiality Profile (PS3.15 Annex E).

Stricter than its table: instead of removing what Table E.1-1 names, only what is listed here is kept, so that what a
vendor or a later edition adds goes too: what a picture needs to be drawn and measured stays. Of the profile's actions:

    K  kept      the attributes of ``KEPT`` (pixels, their geometry, windows, how they were acquired; no free text)
    U  new UID   Study, Series, SOP Instance, Frame of Reference and Synchronisation: alike within one case
    Z  emptied   the type 2 attributes of patient and study modules, dates and times of the study among them
    X  removed   all others: dates, times, names, descriptions, devices, private and curve and overlay groups

Options: none is claimed. Pixels are unpacked, so that nothing rides along in a compressed stream; bits beyond those
stored are cleared. Words burned into the pixels cannot be seen here: ``may_be_burned_in`` says when a person must look.
"""

from __future__ import annotations

import hashlib
import hmac
import io

import numpy as np
from django.conf import settings
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

METHOD = "PS3.15 Basic Application Level Confidentiality Profile; attributes by list of those kept"
#: Modalities whose machines write names into the picture as a habit, and pictures of people.
WRITTEN_ON = frozenset(["US", "IVUS", "SC", "OT", "XC", "GM", "ES", "ECG", "HC", "EPS", "HD", "OP"])
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_KEPT = """
SOPClassUID Modality ImageType BurnedInAnnotation LossyImageCompression LossyImageCompressionRatio
LossyImageCompressionMethod ConversionType PresentationIntentType QualityControlImage SeriesNumber
InstanceNumber Laterality ImageLaterality FrameLaterality BodyPartExamined ViewPosition PatientPosition
PatientOrientation PatientSex Rows Columns SamplesPerPixel PhotometricInterpretation PlanarConfiguration
BitsAllocated BitsStored HighBit PixelRepresentation PixelAspectRatio NumberOfFrames PixelData
SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue PixelPaddingRangeLimit
RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor
BluePaletteColorLookupTableDescriptor RedPaletteColorLookupTableData GreenPaletteColorLookupTableData
BluePaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData PixelPresentation ColorSpace
WindowCenter WindowWidth VOILUTFunction VOILUTSequence ModalityLUTSequence PresentationLUTShape
PresentationLUTSequence LUTDescriptor LUTData ModalityLUTType RescaleIntercept RescaleSlope RescaleType
ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices SliceLocation PixelSpacing
ImagerPixelSpacing NominalScannedPixelSpacing FrameOfReferenceUID
SynchronizationFrameOfReferenceUID FrameTime FrameTimeVector RecommendedDisplayFrameRate CineRate StartTrim
StopTrim FrameIncrementPointer KVP XRayTubeCurrent ExposureTime Exposure GantryDetectorTilt TableHeight
RotationDirection ReconstructionDiameter DataCollectionDiameter SpiralPitchFactor ScanningSequence
SequenceVariant MRAcquisitionType RepetitionTime EchoTime InversionTime FlipAngle MagneticFieldStrength
EchoNumbers EchoTrainLength NumberOfAverages ImagingFrequency AcquisitionMatrix PercentSampling
PercentPhaseFieldOfView PixelBandwidth SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
PixelMeasuresSequence PlanePositionSequence PlaneOrientationSequence FrameVOILUTSequence
PixelValueTransformationSequence FrameAnatomySequence XRay3DFrameTypeSequence CTImageFrameTypeSequence
MRImageFrameTypeSequence FrameType PixelIntensityRelationship PixelIntensityRelationshipSign
PositionerPrimaryAngle PositionerSecondaryAngle BodyPartThickness
"""
KEPT = frozenset(_KEPT.split())
#: Type 2 in the patient, study, series and equipment modules: present and empty.
EMPTIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Manufacturer",
)
RENEWED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
REFERENCES = ("FrameOfReferenceUID", "SynchronizationFrameOfReferenceUID")


class NotCopied(Exception):
    """No copy is made; the text is for people."""


def may_be_burned_in(dataset: Dataset) -> bool:
    """Whether a person must look before this is shown: it says so, or its kind is given to it, whatever it says."""
    if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        return True
    if str(dataset.get("RecognizableVisualFeatures", "")).strip().upper() == "YES":
        return True
    is_capture = str(dataset.get("SOPClassUID", "")).startswith(SECONDARY_CAPTURE)
    kinds = {str(part).upper() for part in dataset.get("ImageType", None) or ()}
    has_overlay = any(0x6000 <= element.tag.group <= 0x60FF for element in dataset)
    is_derived_capture = bool(kinds & {"SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "SECONDARY"})
    return is_capture or is_derived_capture or has_overlay or str(dataset.get("Modality", "")) in WRITTEN_ON


def renewed_uid(uid: str, salt: str) -> str:
    """Below 2.25, the same for the same UID and salt; nobody without the installation's key finds the way back."""
    key = settings.SECRET_KEY.encode()
    digest = hmac.new(key, f"teaching:{salt}:{uid}".encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def without_patient(source: Dataset, salt: str) -> Dataset:
    """A new data set with uncompressed pixels. Raises NotCopied."""
    if "PixelData" not in source or "Rows" not in source:
        raise NotCopied("This object has no picture.")
    _unpack(source)
    copy = _kept(source, salt)
    for keyword in RENEWED:
        setattr(copy, keyword, renewed_uid(str(source.get(keyword, "")), salt))
    for keyword in EMPTIED:
        setattr(copy, keyword, "")
    copy.PatientIdentityRemoved = "YES"
    copy.DeidentificationMethod = METHOD[:64]
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator = "113100", "DCM"
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    copy.DeidentificationMethodCodeSequence = Sequence([method])
    copy.LongitudinalTemporalInformationModified = "REMOVED"
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy.file_meta.MediaStorageSOPClassUID = UID(str(copy.SOPClassUID))
    copy.file_meta.MediaStorageSOPInstanceUID = UID(str(copy.SOPInstanceUID))
    return copy


def _unpack(source: Dataset) -> None:
    """Plain pixels, little endian, nothing beyond the bits stored."""
    syntax = source.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed and syntax.is_encapsulated:
            source.decompress()
    except Exception as error:  # the decoders raise whatever they like
        raise NotCopied("These pixels cannot be unpacked here.") from error
    allocated, stored = int(source.get("BitsAllocated", 0)), int(source.get("BitsStored", 0))
    if not syntax.is_little_endian:
        raise NotCopied("These pixels are in an order that is not copied.")
    if allocated not in (8, 16):
        raise NotCopied("Pixels of this depth are not copied.")
    size = int(source.Rows) * int(source.Columns) * int(source.get("SamplesPerPixel", 1))
    size *= int(source.get("NumberOfFrames") or 1) * allocated // 8
    if len(source.PixelData) < size:
        raise NotCopied("The pixels are not whole.")
    pixels = source.PixelData[:size]
    if stored < allocated and int(source.get("HighBit", stored - 1)) == stored - 1:
        pixels = _clear(pixels, allocated, stored, is_signed=bool(source.get("PixelRepresentation", 0)))
    source.PixelData = pixels + b"\0" * (len(pixels) % 2)


def _clear(pixels: bytes, allocated: int, stored: int, *, is_signed: bool) -> bytes:
    """Bits above those stored may hold an overlay: they become the sign, or nothing."""
    values = np.frombuffer(pixels, dtype=f"<i{allocated // 8}" if is_signed else f"<u{allocated // 8}")
    if is_signed:
        shift = allocated - stored
        return ((values << shift) >> shift).astype(values.dtype).tobytes()
    return (values & ((1 << stored) - 1)).astype(values.dtype).tobytes()


def _kept(source: Dataset, salt: str) -> Dataset:
    copy = Dataset()
    for element in source:
        if element.keyword not in KEPT or element.tag.is_private:
            continue
        if element.VR == "SQ":
            inside = [_kept(item, salt) for item in element.value]
            copy.add_new(element.tag, "SQ", Sequence(inside))
        elif element.keyword in REFERENCES:
            copy.add_new(element.tag, "UI", renewed_uid(str(element.value), salt))
        else:
            copy.add_new(element.tag, element.VR, element.value)
    return copy


def copied(path: object, salt: str, *, was_looked_at: bool) -> tuple[bytes, int] | None:
    """(the file, its frames); None when a person must look first. Raises NotCopied."""
    source = dcmread(path)
    if may_be_burned_in(source) and not was_looked_at:
        return None
    copy = without_patient(source, salt)
    target = io.BytesIO()
    dcmwrite(target, copy, enforce_file_format=True)
    return target.getvalue(), int(copy.get("NumberOfFrames") or 1)
