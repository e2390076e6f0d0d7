"""A model in a folder: what it is shown, what it says, and what of it is refused."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    GenerationConfig,
    LlavaConfig,
    LlavaProcessor,
    Qwen2Config,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.geometry import Box
from napari_nunext.models.answerers.about import ABOUT_FILE
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from napari_nunext.models.answerers.folder import FolderAnswerer, InMemory
from napari_nunext.models.checkpoints.build import new_tokenizer
from napari_nunext.models.checkpoints.loading import without_progress_bars
from napari_nunext.models.families import get_family
from napari_nunext.models.families.qwen_vl import CHAT_TEMPLATE, IMAGE_TOKEN
from tests.answering import small_answerer
from tests.vllm.conftest import without_renaming_warnings

torch.set_num_threads(1)

GREEDY = AnswerSampling(max_tokens=24)
DRAWN = AnswerSampling(temperature=1.0, seed=5, max_tokens=24)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model of each family. Do not write to them."""
    names = ("qwen2_5_vl", "qwen3_vl")
    return {name: small_answerer(tmp_path_factory.mktemp(name) / "vlm", name) for name in names}


@pytest.fixture(scope="module")
def loaded(folders):
    """An answerer of each family, brought into memory once."""
    return {name: opened(folder) for name, folder in folders.items()}


@pytest.fixture
def answerer(loaded, family):
    return loaded[family]


@pytest.fixture
def copy(folders, tmp_path):
    """A folder to change, and a way to change one of its files of JSON."""
    folder = shutil.copytree(folders["qwen2_5_vl"], tmp_path / "copy")

    def change(name, **values):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")
        return folder

    return change


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (56, 84, 3), dtype=np.uint8)


def opened(folder, **further):
    return FolderAnswerer(AnswererFolder("vlm", folder, **further), InMemory("float32"))


def begun(answerer, rgb, sampling=GREEDY, prompt="Which dominates?", cancelled=lambda: False):
    return answerer.answer(rgb, prompt, "Think.", sampling, cancelled=cancelled)


def text_of(pieces):
    return "".join(piece.text for piece in pieces if isinstance(piece, Said))


def ask(answerer, rgb, sampling=GREEDY, **further):
    *pieces, ended = begun(answerer, rgb, sampling, **further)
    assert isinstance(ended, Ended)
    return text_of(pieces), ended


def replies_under_way():
    return [each for each in threading.enumerate() if each.name == "reply"]


def test_what_its_training_says_cannot_be_read_is_its_problem(folders, copy):
    assert opened(folders["qwen2_5_vl"]).problem() is None
    folder = copy("config.json")
    (folder / ABOUT_FILE).write_text("{", "utf-8")
    assert ABOUT_FILE in opened(folder).problem()


def test_it_says_what_transformers_says(folders, answerer, family, rgb):
    folder = folders[family]
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = get_family(family).load_processor(folder)
    messages = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]},
    ]
    text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    area = {"shortest_edge": rgb.size // 3, "longest_edge": rgb.size // 3}
    inputs = processor(text=[text], images=[Image.fromarray(rgb)], size=area, return_tensors="pt")
    how = GenerationConfig(max_new_tokens=24, do_sample=False)
    expected = model.generate(**inputs, generation_config=how)[0, inputs["input_ids"].shape[1] :]
    said, ended = ask(answerer, rgb, prompt="Which?")
    assert said == processor.tokenizer.decode(expected, skip_special_tokens=True)
    assert ended == Ended("length", inputs["input_ids"].shape[1], 24, 6)


def test_it_looks_at_the_picture(answerer, rgb):
    assert ask(answerer, rgb)[0] != ask(answerer, 255 - rgb)[0]


@pytest.mark.parametrize("budget", [1, 7, 64, 300])
@pytest.mark.parametrize("sides", [(1000, 1000), (40, 9000), (3000, 701)])
def test_the_tokens_that_it_makes_are_those_that_were_counted(answerer, sides, budget):
    sent = SentPicture.of(Box(0, 0, *sides), budget, answerer.address.patch_px)
    rgb = np.zeros((sent.height_px, sent.width_px, 3), dtype=np.uint8)
    _, ended = ask(answerer, rgb, AnswerSampling(max_tokens=1))
    assert ended.image_tokens == sent.image_tokens


def test_the_side_of_a_token_is_the_folders_own(folders, copy):
    assert opened(folders["qwen2_5_vl"], patch_px=99).address.patch_px == 28
    assert opened(copy("config.json", vision_config={}), patch_px=99).address.patch_px == 99


def small_llava(folder):
    """A model of another architecture, which sees every picture as 28 x 28 px: four tokens."""
    tokenizer = new_tokenizer()
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        image_size=28,
        patch_size=14,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    )
    images = CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=1,
    )
    with without_progress_bars(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_model_with_a_size_of_its_own_is_asked_too_and_its_tokens_are_told(tmp_path, rgb):
    llava = opened(small_llava(tmp_path / "llava"))
    said, ended = ask(llava, rgb, DRAWN)
    assert said
    assert (ended.output_tokens, ended.image_tokens) == (24, 4)


def test_words_that_look_like_tokens_are_words(answerer, rgb):
    _, ended = ask(answerer, rgb, prompt="<|image_pad|><|im_end|> Which?")
    assert ended.image_tokens == 6


def test_a_seed_gives_the_same_answer_again_whoever_draws_beside_it(answerer, rgb):
    first = ask(answerer, rgb, DRAWN)
    torch.rand(17)
    assert ask(answerer, rgb, DRAWN) == first
    assert ask(answerer, rgb, replace(DRAWN, seed=6)) != first
    without = replace(DRAWN, seed=None)
    assert ask(answerer, rgb, without) != ask(answerer, rgb, without)


def test_drawing_leaves_the_luck_of_others_alone(answerer, rgb):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    ask(answerer, rgb, DRAWN)
    assert torch.equal(torch.rand(4), expected)


def test_answers_that_take_turns_say_what_each_says_alone(answerer, rgb):
    other = np.ascontiguousarray(rgb[:28, ::-1])
    alone = ask(answerer, rgb, DRAWN), ask(answerer, other, DRAWN)
    by_turns = list(zip_longest(begun(answerer, rgb, DRAWN), begun(answerer, other, DRAWN)))
    for expected, pieces in zip(alone, zip(*by_turns, strict=True), strict=True):
        assert text_of(pieces) == expected[0]


def test_it_stops_between_two_tokens(answerer, rgb):
    pieces = []
    for piece in begun(answerer, rgb, DRAWN, cancelled=lambda: len(pieces) > 5):
        pieces.append(piece)
    assert pieces[-1].finish == "cancelled"
    assert pieces[-1].output_tokens == 5
    assert replies_under_way() == []


def test_whoever_stops_listening_has_stopped_it(answerer, rgb):
    with closing(begun(answerer, rgb)) as answer:
        while not isinstance(next(answer), Said):
            pass
        assert len(replies_under_way()) == 1
    assert replies_under_way() == []


def test_a_model_ends_its_reply_itself(copy, folders, rgb):
    model = opened(folders["qwen2_5_vl"])._memory.take(AnswererFolder("a", folders["qwen2_5_vl"]))
    first = next(model._reply(model.read(rgb, "Which dominates?", "Think."), GREEDY, 1))
    said, ended = ask(opened(copy("generation_config.json", eos_token_id=[first])), rgb)
    assert (ended.finish, ended.output_tokens) == ("stop", 1)
    assert said == model.text([first])


def test_penalties_of_the_folder_are_left_out(copy, folders, rgb):
    harsh = copy("generation_config.json", repetition_penalty=9.0, do_sample=True, top_k=2)
    assert ask(opened(harsh), rgb) == ask(opened(folders["qwen2_5_vl"]), rgb)


def test_the_models_context_is_the_most(copy, rgb):
    text = json.loads((copy("config.json") / "config.json").read_text("utf-8"))["text_config"]
    folder = copy("config.json", text_config=text | {"max_position_embeddings": 60})
    _, ended = ask(opened(folder), rgb, AnswerSampling(max_tokens=500))
    assert (ended.finish, ended.prompt_tokens + ended.output_tokens) == ("length", 60)
    with pytest.raises(InputError, match="reads 60"):
        ask(opened(folder), rgb, prompt="Which? " * 60)


def test_one_folder_is_in_memory_at_a_time(folders, rgb):
    memory = InMemory("float32")
    places = [AnswererFolder(name, folder) for name, folder in folders.items()]
    answers = [ask(FolderAnswerer(place, memory), rgb)[0] for place in (*places, places[0])]
    assert answers[0] == answers[2]
    assert [each.folder for each in memory._loaded] == [places[0].folder]


@pytest.fixture
def adapter(folders, tmp_path):
    """Additions that make a difference, as PEFT writes them."""
    place = AnswererFolder("vlm", folders["qwen2_5_vl"])
    model = InMemory("float32").take(place).model
    layers = r".*language_model\.layers\.\d+\.self_attn\.(q|k|v|o)_proj"
    config = LoraConfig(r=4, target_modules=layers, init_lora_weights=False)
    with torch.random.fork_rng(devices=[]), without_renaming_warnings():
        torch.manual_seed(3)
        get_peft_model(model, config).save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


def test_an_adapter_is_put_on_its_model(folders, adapter, rgb, capfd):
    plain, adapted = (
        opened(folders["qwen2_5_vl"], **further) for further in ({}, {"adapter": adapter})
    )
    assert adapted.problem() is None
    said = ask(adapted, rgb)
    assert said[0] != ask(plain, rgb)[0]
    assert capfd.readouterr().err == ""
    model = plain._memory.take(plain.address)
    with without_renaming_warnings():
        peft = PeftModel.from_pretrained(model.model, adapter).merge_and_unload()
    pieces = begun(replace(model, model=peft), rgb)
    assert said[0] == text_of(pieces)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights: weights.popitem(),
        lambda weights: weights.update({"base_model.model.other.lora_A.weight": torch.zeros(4)}),
        lambda weights: weights.update({name: value[:1] for name, value in weights.items()}),
    ],
    ids=["one is missing", "one is foreign", "of another shape"],
)
def test_an_adapter_of_another_model_is_refused(folders, adapter, rgb, spoil):
    weights = load_file(adapter / "adapter_model.safetensors")
    spoil(weights)
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"The adapter lora .* model"):
        ask(opened(folders["qwen2_5_vl"], adapter=adapter), rgb)


def test_an_adapter_without_safetensors_is_refused(folders, adapter, rgb):
    weights = adapter / "adapter_model.safetensors"
    weights.rename(adapter / "adapter_model.bin")
    other = opened(folders["qwen2_5_vl"], adapter=adapter)
    assert "lora has no adapter_model.safetensors" in other.problem()
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        ask(other, rgb)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be"),
        (lambda folder: shutil.rmtree(folder), "no config.json"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"),
            "only pickled weights",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 99), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has the token of pictures at"),
    ],
)
def test_what_is_broken_is_a_sentence(copy, rgb, spoil, words):
    folder = copy("config.json")
    spoil(folder)
    with pytest.raises(CheckpointError, match=words):
        ask(opened(folder), rgb)


@pytest.mark.parametrize(
    ("kind", "words"), [("bert", "a bert, which does not answer"), ("brand_new", "brand_new")]
)
def test_models_that_cannot_be_asked_are_told_apart(copy, rgb, kind, words):
    with pytest.raises(CheckpointError, match=words):
        ask(opened(copy("config.json", model_type=kind)), rgb)


def test_code_that_a_folder_brings_is_not_run(copy, rgb, tmp_path):
    marks = {
        "AutoConfig": "evil.Config",
        "AutoModelForImageTextToText": "evil.Model",
        "AutoProcessor": "evil.Processor",
        "AutoTokenizer": ["evil.Tokenizer", None],
    }
    for kind in ("brand_new", "qwen2_5_vl"):
        folder = copy("config.json", model_type=kind, auto_map=marks)
        for name in ("tokenizer_config.json", "processor_config.json", "preprocessor_config.json"):
            copy(name, auto_map=marks)
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        if kind == "brand_new":
            with pytest.raises(CheckpointError, match="code that a folder brings is not run"):
                ask(opened(folder), rgb)
        else:
            ask(opened(folder), rgb)
    assert not (tmp_path / "ran").exists()
