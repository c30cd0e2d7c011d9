"""What model cards cite, and what they know of data sets beyond the data set's own card.

Entries hold what the papers' own pages and reference lists say, and nothing that they do not.
"""

import fnmatch
import re
import textwrap

import keras_audio
from keras_audio.evaluation.published import PublishedPaper, published_papers

_DAI = """\
@inproceedings{dai2017very,
  title     = {Very deep convolutional neural networks for raw waveforms},
  author    = {Dai, W. and Dai, C. and Qu, S. and Li, J. and Das, S.},
  booktitle = {2017 IEEE International Conference on Acoustics, Speech and Signal Processing
               (ICASSP)},
  pages     = {421--425},
  year      = {2017}
}"""
_PICZAK = """\
@inproceedings{piczak2015esc,
  title     = {{ESC}: Dataset for Environmental Sound Classification},
  author    = {Piczak, Karol J.},
  booktitle = {Proceedings of the 23rd ACM International Conference on Multimedia},
  pages     = {1015--1018},
  year      = {2015}
}"""
_SALAMON = """\
@inproceedings{salamon2014dataset,
  title     = {A Dataset and Taxonomy for Urban Sound Research},
  author    = {Salamon, Justin and Jacoby, Christopher and Bello, Juan Pablo},
  booktitle = {Proceedings of the 22nd ACM International Conference on Multimedia},
  pages     = {1041--1044},
  year      = {2014}
}"""
_GEMMEKE = """\
@inproceedings{gemmeke2017audio,
  title     = {{Audio Set}: An ontology and human-labeled dataset for audio events},
  author    = {Gemmeke, J. F. and Ellis, D. P. W. and Freedman, D. and Jansen, A. and
               Lawrence, W. and Moore, R. C. and Plakal, M. and Ritter, M.},
  booktitle = {2017 IEEE International Conference on Acoustics, Speech and Signal Processing
               (ICASSP)},
  pages     = {776--780},
  year      = {2017}
}"""
_LIVINGSTONE = """\
@article{livingstone2018ryerson,
  title   = {The {Ryerson} Audio-Visual Database of Emotional Speech and Song ({RAVDESS}): A
             dynamic, multimodal set of facial and vocal expressions in {North American English}},
  author  = {Livingstone, S. and Russo, F.},
  journal = {PLoS ONE},
  volume  = {13},
  year    = {2018}
}"""
_MESAROS = """\
@inproceedings{mesaros2018multi,
  title     = {A multi-device dataset for urban acoustic scene classification},
  author    = {Mesaros, A. and Heittola, T. and Virtanen, T.},
  booktitle = {Proceedings of the Detection and Classification of Acoustic Scenes and Events 2018
               Workshop (DCASE2018)},
  pages     = {9--13},
  url       = {https://arxiv.org/abs/1807.09840},
  year      = {2018}
}"""

# By names of data sets on disk, first match first.
_DATASETS = {
    "esc10": _PICZAK,
    "esc50": _PICZAK,
    "urbansound8k": _SALAMON,
    "audioset": _GEMMEKE,
    "ravdess": _LIVINGSTONE,
    "tau_urban_*": _MESAROS,
}
# By names of networks.
_NETWORKS = {
    "m34_res_*": "a residual network of 34 layers on raw audio",
    "spectrogram_res_*": "a slim two-dimensional residual network of 34 layers on log-mel "
    "spectrograms",
    "m[0-9]*": "a plain convolutional network on raw audio",
    "erann_*": "an efficient residual network on log-mel spectrograms",
    "two_path_resnet": "a residual network on log-mel spectrograms, with late fusion of separate "
    "paths for low and high frequencies",
    "binaural_[ab]": "a tiny convolutional network on waveforms",
    "binaural_[cd]": "a small residual network on waveforms",
    "resnet*": "a residual network, as for photographs, on log-mel images",
}
# Found by `keras-audio check`: `results/esc10_check.md`.
_SHARED = (
    frozenset({3, 5}),
    "folds 3 and 5 share a recording under two names (`3-151080-A` and `5-151085-A`, both "
    "crying_baby)",
)
_LEAKS = {"esc10": _SHARED, "esc50": _SHARED}


def citations(recipe: str, network: str, dataset: str) -> list[str]:
    """BibTeX entries: the recipe's paper, the network's and data set's where known, and ours.

    Args:
        recipe: Name of the recipe.
        network: Name of the network.
        dataset: Name of the data set on disk.

    Example:
        >>> [entry.partition("{")[2].partition(",")[0] for entry in citations("erann", "", "esc10")]
        ['verbitskiy_2022', 'piczak2015esc', 'kerasaudio']
    """
    plain = fnmatch.fnmatch(network, "m[0-9]*") and "_" not in network
    papers = {paper.recipe: bibtex(paper) for paper in published_papers()}
    found = (papers.get(recipe), _DAI if plain else None, _matching(_DATASETS, dataset))
    return [entry for entry in found if entry] + [_own_entry()]


def bibtex(paper: PublishedPaper) -> str:
    """The BibTeX entry of one of the five papers.

    Example:
        >>> print(bibtex(published_papers()[2]))
        @techreport{mcdonnell_2019,
          title       = {Acoustic scene classification using deep residual networks with late fusion
                         of separated high and low frequency paths},
          author      = {McDonnell, Mark D. and Gao, Wei},
          institution = {University of South Australia},
          note        = {Technical report, DCASE 2019 challenge, task 1},
          year        = {2019}
        }
    """
    names = (author.rpartition(" ")[::2] for author in paper.authors)
    fields = {
        # Styles write titles in small letters, but for what is in braces.
        "title": re.sub(r"\b\w*[A-Z]\w*[A-Z]\w*", r"{\g<0>}", paper.title),
        "author": " and ".join(f"{family}, {given}" for given, family in names),
        "institution": paper.institution,
        "note": paper.venue,
        "url": paper.url,
        "year": str(paper.year),
    }
    fields = {name: value for name, value in fields.items() if value}
    width = max(map(len, fields))
    lines = [
        textwrap.fill(f"{{{value}}}", 88 - width, subsequent_indent=" ").replace(
            "\n", "\n" + " " * (width + 5)
        )
        for value in fields.values()
    ]
    entries = (f"  {name:{width}} = {text}" for name, text in zip(fields, lines, strict=True))
    kind = "techreport" if paper.institution else "misc"
    return f"@{kind}{{{paper.key},\n" + ",\n".join(entries) + "\n}"


def network_description(network: str) -> str:
    """What kind of network it is, in a few words; "a network" if that is not known.

    Example:
        >>> network_description("m5"), network_description("binaural_c")
        ('a plain convolutional network on raw audio', 'a small residual network on waveforms')
    """
    return _matching(_NETWORKS, network) or "a network"


def known_leak(dataset: str) -> tuple[frozenset[int], str] | None:
    """Folds of a data set that share a recording although its names say otherwise, and which.

    Example:
        >>> sorted(known_leak("esc10")[0]), known_leak("urbansound8k")
        ([3, 5], None)
    """
    return _LEAKS.get(dataset)


def _matching(table: dict[str, str], name: str) -> str | None:
    return next((value for form, value in table.items() if fnmatch.fnmatch(name, form)), None)


def _own_entry() -> str:
    """As CITATION.cff has it."""
    return f"""\
@software{{kerasaudio,
  title   = {{keras-audio: audio classification networks of five papers in Keras 3}},
  author  = {{{{The keras-audio developers}}}},
  version = {{{keras_audio.__version__}}},
  year    = {{2026}}
}}"""
