// @ts-check
/* The wire format: what the server sends to a <map-viewer>. camviz/ui/viewer/schema.py holds the
   same names and keys as dataclasses, and a test compares the two. No code, types only. */

/**
 * Everything that a viewer shows.
 *
 * @typedef {object} Payload
 * @property {Row[]} rows          in the order in which they are shown
 * @property {Picture|null} picture  null: there are no maps, only sentences
 * @property {Truth[]} truth       what is known to be in the picture
 * @property {string|null} crop_note  how much of the picture the network was not shown
 * @property {boolean} linked      what a visitor sets is kept in the address bar, beside the
 *   server's part (`MapViewer.link`)
 * @property {boolean} dense       a table: titles beside the rows, names of columns above
 * @property {boolean} small       many maps side by side, with nothing written below them
 * @property {boolean} has_signs   some map has values below zero, which can be shown
 * @property {string|null} pick    what a click does where it chooses a place of the picture (event
 *   "viewer-pick"); null: a click enlarges the map
 * @property {string|null} follows  id around the viewer whose settings serve this one too, which
 *   then shows no tools of its own
 * @property {string|null} outline  label of the truth that is outlined until a visitor chooses;
 *   null: none
 */

/**
 * @typedef {object} Picture
 * @property {string} src          data URL, which may be smaller than the picture
 * @property {number} width        of the picture itself
 * @property {number} height
 * @property {string} name
 */

/**
 * The pixels of one thing that is in the picture.
 *
 * @typedef {object} Truth
 * @property {string} label
 * @property {string} src          data URL of a mask, white where the thing is
 * @property {string|null} note    how much of it the network was not shown
 * @property {boolean} explained  it is the class that is explained
 */

/**
 * The maps of one method.
 *
 * @typedef {object} Row
 * @property {string} key          its name in links
 * @property {string} title
 * @property {string|null} reason  why there are no maps; all that follows is empty then
 * @property {string} method
 * @property {string} paper
 * @property {string|null} tag     a remark on the whole row
 * @property {Words|null} words
 * @property {[string, string]} ends  what the low and the high end of its scale are called
 * @property {[string, string]} signs  the same of a scale with two signs
 * @property {string|null} holds   id of an element of the page that stands above the maps
 * @property {Panel[]} panels
 * @property {Absent[]} absent
 */

/**
 * What is written of a method, a fusion or a difference.
 *
 * @typedef {object} Words
 * @property {string} summary      what it does, in a sentence
 * @property {string} formula      a_b is a subscript, a^(b) a superscript; "": none
 * @property {string} symbols      what the letters of the formula stand for
 */

/**
 * One map: bytes 0 .. 255 on its own grid, for 0 .. its maximum.
 *
 * @typedef {object} Panel
 * @property {string} key          the same in every row for what stands in one column
 * @property {string} name
 * @property {string} module       whose output it is, where the name does not say it; "": none
 * @property {boolean} last        stands behind the stages, as a fused map does
 * @property {Scene} scene
 * @property {number} cut          the share of its maximum at which boxes and contours are drawn
 *   until a visitor sets one
 * @property {[number, number]} grid  rows, columns
 * @property {[number, number]} stride  between two cells, in pixels of the input, (y, x)
 * @property {[number, number]} offset  of the cells from where plain up-sampling puts them, (y, x)
 * @property {string} data         base64 of the positive part over `peak`
 * @property {number} peak         the maximum, in true units
 * @property {string|null} against  base64 of the negative part over `lowest`; null: there is none
 * @property {[string, string, string]|null} colors  base64 of red, green and blue in place of heat,
 *   of which there is none then; null: a map of heat
 * @property {number} lowest       the magnitude of the minimum, in true units
 * @property {number} top          the largest magnitude on a scale with two signs
 * @property {string|null} unit    values of one unit share a scale; null: only shares of the
 *   maximum mean something
 * @property {[string, string]|null} ends  a difference of two maps, always drawn with two signs:
 *   what the low and the high end are called
 * @property {[number, number]|null} ring  a place (x, y) of the picture to be seen at a glance
 * @property {Record<string, string>} marks  word on the map -> the sentence that explains it
 * @property {string[]} facts      below the map
 * @property {string[]} warnings   below the map, to be seen
 * @property {string[]} remarks    below the map: that it is like another one
 * @property {string[]} notes      in the dialog
 * @property {Words|null} words    null: the row's
 * @property {string} label        the class explained; "": none
 * @property {string} network      whose map it is; "": not known
 * @property {string} alt          where the map is strongest, for those who do not see it
 */

/**
 * How the picture was shown to a network.
 *
 * @typedef {object} Scene
 * @property {[number, number, number, number]} rect  x0, y0, x1, y1: the part that it was shown, in
 *   pixels of the picture
 * @property {[number, number]} input  height, width of the network's input
 * @property {boolean} shows_all   whether that was all of the picture
 */

/**
 * In the place of a map that cannot be had.
 *
 * @typedef {object} Absent
 * @property {string} key
 * @property {string} name
 * @property {string} reason
 */

/**
 * What is the same for every payload; the element needs it before its first one.
 *
 * @typedef {object} Configuration
 * @property {Settings} settings   the defaults
 * @property {Record<string, string[]>} choices  what some settings may be
 * @property {Record<string, string>} tables  colour map -> base64 of 256 RGB triples
 * @property {string} diverging    the colour map for two signs
 * @property {string[]} uneven     colour maps whose steps do not look even
 * @property {number} hot          share of the colour scale from which on opacity that follows the
 *   heat is full
 * @property {number} threshold    of boxes and contours, until a visitor sets one
 * @property {number} max_threshold
 * @property {number} speck_area   share of the picture below which a part is a speck
 * @property {number} speck_heat   share of the largest part's heat below which a part is a speck
 * @property {string[]} link_keys  everything that `MapViewer.link` may hold
 */

/**
 * What a visitor may change, by the names that stand in links.
 *
 * @typedef {object} Settings
 * @property {string} view         overlay, map or picture
 * @property {number} opacity      how much of the picture the map covers
 * @property {string} blend        heat: opacity follows the heat; even: the same everywhere
 * @property {number} threshold    share of the maximum below which nothing is drawn
 * @property {string} colors       the colour map
 * @property {string} scale        own: each map's maximum; same: one for all maps of a unit
 * @property {string} boxes        none, largest or all
 * @property {boolean} contours
 * @property {boolean} signed      for and against the class
 * @property {string} outline      label of the truth that is outlined; "": none
 * @property {string} row          key of the row that a narrow page shows
 */

export {};
