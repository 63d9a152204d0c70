let cover = '0.55'
const cast = () => {
  element.querySelector('.cv-sheet')?.style.setProperty('--cover', cover)
  const knob = element.querySelector('input[type=range]')
  if (knob) knob.value = cover
}
element.addEventListener('input', event => {
  if (event.target.type === 'range') { cover = event.target.value; cast() }
})
watch('value', () => setTimeout(cast))
