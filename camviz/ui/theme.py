"""The looks of the page beside its style sheet."""

import gradio as gr


def theme() -> gr.themes.Base:
    """Soft, with the fonts of the visitor's own system, calmer labels and legible small print."""
    plain = gr.themes.Soft(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return plain.set(
        background_fill_primary="*neutral_50",  # Soft's own, which set() would forget
        body_text_color_subdued="*neutral_500",
        button_primary_background_fill="*primary_600",  # its own are too faint below white, and
        button_primary_background_fill_hover="*primary_700",
        link_text_color_dark="*primary_300",  # on the dark ground
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_color="*body_text_color",
        block_label_text_size="*text_sm",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_padding="0",
        block_title_text_color="*body_text_color",
        block_title_text_size="*text_sm",
        checkbox_border_color="*neutral_400",
        checkbox_label_background_fill_selected="*primary_100",
        checkbox_label_background_fill_selected_dark="*primary_900",
        checkbox_label_text_color_selected="*body_text_color",
    )
