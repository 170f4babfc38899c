"""The papers of the losses and of the tables: how to cite them."""

from __future__ import annotations

from dataclasses import dataclass

from rankdet.catalogue.catalogue import Entry


@dataclass(frozen=True)
class Paper:
    """One paper.

    Attributes:
        key: of its BibTeX entry.
        title: as printed.
        authors: given name first.
        venue: conference and year, such as "ICCV 2021".
        arxiv: identifier, such as "2107.11669".
        losses: values of `Entry.loss_cls` that the paper introduced.
        table: how `Entry.paper` begins for its tables; "" if it has none here.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    venue: str
    arxiv: str
    losses: tuple[str, ...]
    table: str = ""

    @property
    def year(self) -> int:
        """Year of the conference."""
        return int(self.venue.rsplit(" ", 1)[1])

    @property
    def url(self) -> str:
        """Address of the abstract."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def doi(self) -> str:
        """The DOI that arXiv registered."""
        return f"https://doi.org/10.48550/arXiv.{self.arxiv}"

    @property
    def bibtex(self) -> str:
        """The entry of a BibTeX file."""
        fields = {
            "title": f"{{{self.title}}}".replace("&", r"\&"),
            "author": " and ".join(self.authors),
            "booktitle": self.venue.rsplit(" ", 1)[0],
            "year": str(self.year),
            "eprint": self.arxiv,
            "archivePrefix": "arXiv",
        }
        lines = (f"  {name} = {{{text}}},\n" for name, text in fields.items())
        return f"@inproceedings{{{self.key},\n{''.join(lines)}}}"


PAPERS = (
    Paper(
        "chen2019aploss",
        "Towards Accurate One-Stage Object Detection With AP-Loss",
        (
            *("Kean Chen", "Jianguo Li", "Weiyao Lin", "John See", "Ji Wang", "Lingyu Duan"),
            *("Zhibo Chen", "Changwei He", "Junni Zou"),
        ),
        "CVPR 2019",
        "1904.06373",
        ("AP",),
    ),
    Paper(
        "oksuz2020alrp",
        "A Ranking-based, Balanced Loss Function Unifying Classification and Localisation in "
        "Object Detection",
        ("Kemal Oksuz", "Baris Can Cam", "Emre Akbas", "Sinan Kalkan"),
        "NeurIPS 2020",
        "2009.13592",
        ("aLRP",),
        "aLRP Loss",
    ),
    Paper(
        "oksuz2021ranksort",
        "Rank & Sort Loss for Object Detection and Instance Segmentation",
        ("Kemal Oksuz", "Baris Can Cam", "Emre Akbas", "Sinan Kalkan"),
        "ICCV 2021",
        "2107.11669",
        ("RS",),
        "Rank & Sort Loss",
    ),
    Paper(
        "tao2021parameterized",
        "Searching Parameterized AP Loss for Object Detection",
        ("Chenxin Tao", "Zizhang Li", "Xizhou Zhu", "Gao Huang", "Yong Liu", "Jifeng Dai"),
        "NeurIPS 2021",
        "2112.05138",
        ("PAP",),
        "Parameterized AP Loss",
    ),
    Paper(
        "yavuz2024bucketed",
        "Bucketed Ranking-based Losses for Efficient Training of Object Detectors",
        (
            *("Feyza Yavuz", "Baris Can Cam", "Adnan Harun Dogan", "Kemal Oksuz", "Emre Akbas"),
            "Sinan Kalkan",
        ),
        "ECCV 2024",
        "2407.14204",
        ("BAP", "BRS"),
        "Bucketed Ranking-based Losses",
    ),
)


def papers_of(entry: Entry) -> tuple[Paper, ...]:
    """Return the paper of the entry's loss and that of its table, without repetition."""
    loss = [paper for paper in PAPERS if entry.loss_cls in paper.losses]
    table = [paper for paper in PAPERS if paper.table and entry.paper.startswith(paper.table)]
    return tuple(dict.fromkeys([*loss, *table]))
