from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ServerError
from napari_nunext.core.scores.position_error import PositionCalibration
from napari_nunext.models.next_point.replies import CONFIDENCE_RADIUS_UM, SPREAD_RADIUS_UM
from napari_nunext.models.next_point.sampling import Sampling
from napari_nunext.models.vllm.requests import (
    NEVER,
    Choice,
    check_prompt,
    check_reply,
    points_request,
)


@pytest.fixture
def window(rng):
    return rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_a_window_arrives_pixel_by_pixel(window, describe_checkpoint):
    request = points_request(window, describe_checkpoint(), model="nuclei", max_tokens=11)
    (message,) = request["messages"]
    image, text = message["content"]
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), window)
    assert text["text"] == "Point to nucleus."
    assert (request["model"], request["max_tokens"]) == ("nuclei", 11)


def test_greedy_replies_are_streamed_with_how_sure_they_are(window, describe_checkpoint):
    description = describe_checkpoint()
    request = points_request(window, description, model="nuclei", max_tokens=11)
    assert (request["temperature"], request["stream"], request["logprobs"]) == (0.0, True, True)
    bin_um = description.codec.bin_px * description.mpp
    assert request["vllm_xargs"] == {"nunext_points": round(CONFIDENCE_RADIUS_UM / bin_um)}
    assert request["stop_token_ids"] == [description.codec.end_id]


def test_how_widely_places_spread_is_asked_where_the_checkpoint_knows_what_it_means(
    window, describe_checkpoint
):
    description = describe_checkpoint()
    plain = points_request(window, description, model="nuclei", max_tokens=11)
    assert plain["top_logprobs"] == 0
    measured = replace(description, position_calibration=PositionCalibration(2.0, -1.0))
    request = points_request(window, measured, model="nuclei", max_tokens=11)
    bin_um = description.codec.bin_px * description.mpp
    assert request["top_logprobs"] == 2
    assert request["vllm_xargs"] == plain["vllm_xargs"] | {
        "nunext_spread": round(SPREAD_RADIUS_UM / bin_um)
    }


def test_categories_that_are_left_out_are_never_said(window, describe_checkpoint):
    description = describe_checkpoint(("Round", "Pale", "Other"))
    ids = dict(zip(description.codec.category_names, description.codec.category_ids, strict=True))
    request = points_request(
        window, description, model="nuclei", max_tokens=11, among=("Round", "Other")
    )
    assert request["logit_bias"] == {str(ids["Pale"]): NEVER}
    whole = points_request(window, description, model="nuclei", max_tokens=11)
    assert "logit_bias" not in whole


def test_drawn_replies_have_a_seed_and_nothing_that_bends_the_distribution(
    window, describe_checkpoint
):
    asked = {"model": "nuclei", "max_tokens": 11}
    narrow = Sampling(0.9, (17,), 6, coordinate_temperature=0.4)
    description = describe_checkpoint()
    request = points_request(window, description, **asked, sampling=Sampling(0.9, (17,), 6))
    assert "nunext_coordinates" not in request["vllm_xargs"]
    narrowed = points_request(window, description, **asked, sampling=narrow)
    assert narrowed["vllm_xargs"] == request["vllm_xargs"] | {"nunext_coordinates": 0.4}
    assert (request["temperature"], request["seed"], request["n"]) == (0.9, 17, 6)
    assert "stream" not in request
    assert (request["top_p"], request["top_k"], request["repetition_penalty"]) == (1.0, 0, 1.0)


def test_latent_tokens_are_forced(window, describe_checkpoint):
    request = points_request(window, describe_checkpoint((), 2), model="nuclei", max_tokens=11)
    assert request["messages"][1] == {"role": "assistant", "content": "<|latent_0|><|latent_1|>"}
    assert request["add_generation_prompt"] is False
    assert request["continue_final_message"] is True


@pytest.mark.parametrize(
    ("token_ids", "finish", "expected"),
    [
        ([21, 22, 50], "stop", (21, 22, 50)),
        ([21, 22], "stop", (21, 22, 50)),
        ([21, 22, 11, 23], "length", (21, 22, 11, 23)),
        ([], "stop", (50,)),
    ],
)
def test_an_end_that_stops_a_reply_belongs_to_it(token_ids, finish, expected, describe_checkpoint):
    choice = Choice.read({"token_ids": token_ids, "finish_reason": finish})
    assert choice.reply(describe_checkpoint().codec) == expected


def test_another_prompt_is_said_with_its_length():
    check_prompt([1, 2], (1, 2), "http://there")
    with pytest.raises(ServerError, match=r"http://there answered to a prompt of 3 .* own 2"):
        check_prompt([1, 2, 3], (1, 2), "http://there")
    with pytest.raises(ServerError, match="prompt of no tokens"):
        check_prompt(None, (1, 2), "http://there")


def test_a_reply_outside_the_grammar_is_said_with_its_place(describe_checkpoint):
    codec = describe_checkpoint().codec
    check_reply((21, 22, 11, 23, 24, 50), codec, "http://there")
    check_reply((21, 22, 11, 23), codec, "http://there")
    with pytest.raises(ServerError, match=r"unexpected token at 1.*docs/vllm.md"):
        check_reply((21, 11, 22), codec, "http://there")
